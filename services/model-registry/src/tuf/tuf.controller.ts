/** The signed metadata as devices read it. Versioned files never change; `timestamp.json` must never be kept. */
import type { ServerResponse } from "node:http";
import { Controller, Inject, Param, Res } from "@nestjs/common";
import { modelRegistryApi } from "@tributary/api";
import { Problem, Serves } from "@tributary/service-kit";
import { isMetadataName, type MetadataStore } from "@tributary/tuf/repository";

export const METADATA = Symbol("MetadataStore");

@Controller()
export class TufController {
  readonly #store: MetadataStore;

  constructor(@Inject(METADATA) store: MetadataStore) {
    this.#store = store;
  }

  @Serves(modelRegistryApi.tuf.get)
  async get(@Param("file") file: string, @Res() response: ServerResponse): Promise<void> {
    const bytes = isMetadataName(file) ? await this.#store.get(file) : undefined;
    if (bytes === undefined) {
      throw new Problem(404, "metadata-unknown", "give-up", `There is no metadata ${file.slice(0, 64)} here.`);
    }
    const cacheControl = file === "timestamp.json" ? "no-store" : "public, max-age=31536000, immutable";
    const headers = { "content-type": "application/json", "cache-control": cacheControl };
    response.writeHead(200, { ...headers, "content-length": bytes.length }).end(bytes);
  }
}
