/** The option of a schema registry. */
import { reasonOf } from "@tributary/kernel";
import type { SchemaRegistryAccess } from "@tributary/schema-registry";
import { type Command, InvalidArgumentError, Option } from "commander";
import { CliError, exitCodes } from "./exit-codes.ts";

/** A URL, with USER:PASSWORD@ where the registry wants them. */
export function schemaRegistryOf(text: string): SchemaRegistryAccess {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError("an http:// or https:// URL is needed.");
  }
  const { username, password } = url;
  url.username = "";
  url.password = "";
  const basicAuth = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  return { url: url.href.replace(/\/+$/, ""), ...(username !== "" && { basicAuth }) };
}

export const withRegistry = (command: Command, description: string): Command =>
  command.addOption(new Option("--registry <URL>", description).argParser(schemaRegistryOf).env("TRIBUTARY_REGISTRY"));

/** The gateway's registry requires the gateway's token. */
export const fetchWith =
  (token: string | undefined): typeof fetch =>
  (input, init = {}) =>
    fetch(
      input,
      token === undefined ? init : { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } },
    );

const UNAVAILABLE = "schema-registry-unavailable";

export function registryFailed(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const code = (error as { code?: unknown } | null)?.code;
  const exitCode = code === UNAVAILABLE ? exitCodes.unreachable : exitCodes.failed;
  return new CliError(exitCode, `The schema registry: ${reasonOf(error)} (${String(code)})`, { cause: error });
}
