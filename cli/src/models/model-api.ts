/** The registry's models, from the registry itself (`--registry`) or as the gateway shows them. */
import type { ModelVersion as PublicVersion, RegisteredVersion } from "@tributary/api";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Context, contextOf, type Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { type Gateway, GatewayRefusal, type ModelRegistry, modelRegistryAt } from "../gateway.ts";
import { waitingFor } from "../progress.ts";

/** How far its gate is, the gateway does not know. */
export type ModelVersion = PublicVersion & Partial<Pick<RegisteredVersion, "judging">>;

type Options = { readonly registry?: string; readonly registryToken?: string; readonly token?: string };

export const url = (text: string): string => {
  if (/^https?:$/.test(URL.parse(text)?.protocol ?? "")) return text;
  throw new InvalidArgumentError("an http:// or https:// URL is needed.");
};

export const withModelRegistry = (command: Command): Command =>
  command
    .addOption(
      new Option("--registry <URL>", "the model registry itself, instead of the gateway")
        .argParser(url)
        .env("TRIBUTARY_MODEL_REGISTRY"),
    )
    .addOption(
      new Option("--registry-token <TOKEN>", "its bearer token (default: --token)").env(
        "TRIBUTARY_MODEL_REGISTRY_TOKEN",
      ),
    );

export const withBy = (command: Command, io: Io): Command =>
  command.option("--by <NAME>", "your name, for the record", io.env.USER || "somebody");

type Change = "alias" | "unalias" | "revoke" | "judge" | "force";
type Changes = { readonly [C in Change]: (input: Parameters<ModelRegistry["models"][C]>[0]) => Promise<unknown> };

export type ModelApi = Changes & {
  /** Undefined: through the gateway. */
  readonly registry: ModelRegistry | undefined;
  versions(): Promise<readonly ModelVersion[]>;
};

export function modelApiOf(command: Command, io: Io): Context & { readonly models: ModelApi } {
  const context = contextOf(command, io);
  const options = command.optsWithGlobals<Options>();
  if (options.registry === undefined) return { ...context, models: gatewayApi(context.gateway) };
  return { ...context, models: registryApi(modelRegistryClient(options.registry, options, io)) };
}

/** Of what the gateway cannot do: bytes and signatures go to the registry itself. */
export function modelRegistryOf(command: Command, io: Io): ModelRegistry {
  const options = command.optsWithGlobals<Options>();
  if (options.registry !== undefined) return modelRegistryClient(options.registry, options, io);
  const message = "This speaks to the model registry itself: give --registry URL or set TRIBUTARY_MODEL_REGISTRY.";
  throw new CliError(exitCodes.usage, message);
}

const modelRegistryClient = (url: string, { registryToken, token }: Options, io: Io): ModelRegistry =>
  modelRegistryAt({ url, token: registryToken ?? token, waiting: waitingFor(io) });

export const registryApi = (registry: ModelRegistry): ModelApi => ({
  ...registry.models,
  registry,
  versions: async () => (await registry.models.list()).items,
});

/** The gateway forwards changes. */
const gatewayApi = (gateway: Gateway): ModelApi => ({
  ...gateway.models,
  registry: undefined,
  versions: async () => {
    const { items } = await gateway.models.list().catch((error: unknown) => {
      // A gateway from before there was a registry.
      if (error instanceof GatewayRefusal && error.code === "path-unknown") return { items: [] };
      throw error;
    });
    return items.flatMap(({ versions }) => versions);
  },
});

/** NAME@VERSION, NAME@ALIAS, or the prefix of a digest. */
export function versionIn(versions: readonly ModelVersion[], reference: string): ModelVersion {
  const [name = "", which] = reference.split("@");
  const ofName = versions.filter((version) => version.name === name);
  const found =
    which === undefined
      ? versions.filter(({ modelDigest }) => /^[0-9a-f]{4,64}$/.test(reference) && modelDigest.startsWith(reference))
      : ofName.filter(({ version, aliases }) => version === which || aliases.includes(which));
  const [first, ...others] = found;
  if (first !== undefined && others.length === 0) return first;
  // An alias that is another version's name.
  const exact = found.find(({ version }) => version === which);
  if (exact !== undefined) return exact;
  if (first !== undefined) {
    const all = found.map((version) => `  ${referenceOf(version)}`).join("\n");
    throw new CliError(exitCodes.usage, `"${reference}" means several:\n${all}`);
  }
  const known = ofName.length > 0 ? ` ${name} has ${ofName.map(({ version }) => version).join(", ")}.` : "";
  const message = `There is no model "${reference}": expected NAME@VERSION, NAME@ALIAS or a digest.${known} See: tributary models list`;
  throw new CliError(exitCodes.notFound, message);
}

export const referenceOf = ({ name, version }: { readonly name: string; readonly version: string }): string =>
  `${name}@${version}`;

/** In a word. */
export const gateWord = ({ gate, judging }: Pick<ModelVersion, "gate" | "judging">): string | null => {
  if (judging) return judging.state;
  if (gate === null) return null;
  return gate.passed ? "passed" : gate.forcedBy === "" ? "FAILED" : "forced";
};
