/** The registry's models, from the registry itself (`--registry`) or as the gateway shows them. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Context, contextOf, type Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { GatewayClient, GatewayRefusal } from "../gateway-client.ts";
import { waitingFor } from "../progress.ts";

export type ModelVersion = {
  readonly name: string;
  readonly version: string;
  readonly modelDigest: string;
  readonly state: string;
  readonly aliases: readonly string[];
  readonly packageBytes: number;
  readonly hardwareClass: string;
  readonly input: string;
  readonly labels: readonly string[];
  readonly latencyBudgetMs: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly lineage: Readonly<Record<string, string>>;
  readonly edge: boolean;
  readonly pushedBy: string;
  readonly pushedAt: string;
  readonly gate: {
    readonly passed: boolean;
    readonly championDigest: string;
    readonly failed: readonly string[];
    /** Undefined: an older registry says it. */
    readonly unsure?: readonly string[];
    readonly reportDigest: string;
    readonly pageDigest: string;
    readonly judgedAt: string;
    readonly forcedBy: string;
    readonly forcedReason: string;
  } | null;
  /** Of a challenger that waits for the gate; the gateway does not know it. */
  readonly judging?: { readonly state: string; readonly detail: string } | null;
  readonly revoked: { readonly by: string; readonly reason: string; readonly at: string } | null;
};

type Options = { readonly registry?: string; readonly registryToken?: string; readonly token?: string };

const url = (text: string): string => {
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
      new Option("--registry-token <TOKEN>", "its bearer token; --token unless told").env(
        "TRIBUTARY_MODEL_REGISTRY_TOKEN",
      ),
    );

export const withBy = (command: Command, io: Io): Command =>
  command.option("--by <NAME>", "who does it, for the record", io.env.USER || "somebody");

/** A registry examines a package before it answers. */
const ANSWER_MS_MAX = 900_000;

export type ModelApi = {
  /** Undefined: through the gateway. */
  readonly registry: GatewayClient | undefined;
  versions(): Promise<readonly ModelVersion[]>;
  alias(name: string, alias: string, version: string, by: string): Promise<void>;
  unalias(name: string, alias: string, by: string): Promise<void>;
  revoke(name: string, version: string, body: { by: string; reason: string }): Promise<void>;
  judge(name: string, version: string, by: string): Promise<void>;
  force(name: string, version: string, body: { by: string; reason: string }): Promise<void>;
};

export function modelApiOf(command: Command, io: Io): Context & { readonly models: ModelApi } {
  const context = contextOf(command, io);
  const options = command.optsWithGlobals<Options>();
  if (options.registry === undefined) return { ...context, models: gatewayApi(context.gateway) };
  return { ...context, models: registryApi(registryClient(options.registry, options, io)) };
}

/** Of what the gateway cannot do: bytes and signatures go to the registry itself. */
export function registryOf(command: Command, io: Io): GatewayClient {
  const options = command.optsWithGlobals<Options>();
  if (options.registry !== undefined) return registryClient(options.registry, options, io);
  const message = "This speaks to the model registry itself: give --registry URL or set TRIBUTARY_MODEL_REGISTRY.";
  throw new CliError(exitCodes.usage, message);
}

const registryClient = (at: string, { registryToken, token }: Options, io: Io): GatewayClient =>
  new GatewayClient({
    url: at,
    token: registryToken ?? token,
    waiting: waitingFor(io),
    answerMsMax: ANSWER_MS_MAX,
    service: {
      name: "model registry",
      option: "--registry",
      variable: "TRIBUTARY_MODEL_REGISTRY",
      token: "--registry-token or set TRIBUTARY_MODEL_REGISTRY_TOKEN",
    },
  });

const path = (...parts: readonly string[]): string => parts.map(encodeURIComponent).join("/");

export function registryApi(registry: GatewayClient): ModelApi {
  return {
    registry,
    versions: async () => (await registry.call<{ items: ModelVersion[] }>("models")).items,
    ...changesAt(registry, "models"),
  };
}

function gatewayApi(gateway: GatewayClient): ModelApi {
  return {
    registry: undefined,
    versions: async () => {
      type Named = { readonly items: readonly { readonly versions: readonly ModelVersion[] }[] };
      const { items } = await gateway.call<Named>("api/v1/models").catch((error: unknown) => {
        // A gateway from before there was a registry.
        if (error instanceof GatewayRefusal && error.code === "path-unknown") return { items: [] };
        throw error;
      });
      return items.flatMap(({ versions }) => versions);
    },
    ...changesAt(gateway, "api/v1/models"),
  };
}

/** The gateway hands them on under the registry's own paths. */
function changesAt(client: GatewayClient, at: string): Omit<ModelApi, "registry" | "versions"> {
  const change = (method: string, parts: readonly string[], body: object) =>
    client.call(`${at}/${path(...parts)}`, { method, body }).then(() => {});
  return {
    alias: (name, alias, version, by) => change("PUT", [name, "aliases", alias], { version, by }),
    unalias: (name, alias, by) => change("DELETE", [name, "aliases", alias], { by }),
    revoke: (name, version, body) => change("POST", [name, version, "revoke"], body),
    judge: (name, version, by) => change("POST", [name, version, "gate"], { by }),
    force: (name, version, body) => change("POST", [name, version, "gate", "force"], body),
  };
}

/** NAME@VERSION, NAME@ALIAS, or a digest's beginning. */
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
  const message = `There is no model "${reference}": NAME@VERSION, NAME@ALIAS or a digest is needed.${known} See: tributary models list`;
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
