import { Controller, Get, Header, Inject } from "@nestjs/common";
import { API_VERSION } from "../version.ts";
import { asyncApiOf, asyncApiYaml } from "./document.ts";
import { asyncApiPage } from "./page.ts";

export const ASYNCAPI = Symbol("asyncapi");
export type AsyncApiFiles = { readonly yaml: string; readonly page: string };

export function asyncApiFiles(prefix: string): AsyncApiFiles {
  const document = asyncApiOf(API_VERSION, prefix);
  return { yaml: asyncApiYaml(document), page: asyncApiPage(document) };
}

/** What the topics hold, for people and for generators. */
@Controller()
export class AsyncApiController {
  constructor(@Inject(ASYNCAPI) private readonly files: AsyncApiFiles) {}

  @Get("asyncapi")
  @Header("content-type", "text/html; charset=utf-8")
  @Header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
  page() {
    return this.files.page;
  }

  @Get("asyncapi.yaml")
  @Header("content-type", "application/yaml; charset=utf-8")
  yaml() {
    return this.files.yaml;
  }
}
