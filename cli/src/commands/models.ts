/**
 * `get|describe models`, and the same as `models list|describe`: the registry's versions, the packages that devices report and
 * policies name, and the cloud targets.
 *
 * One package is one row, whether the registry, devices or policies have it.
 */
import {
  type Answer,
  type Device,
  itemsOfPages,
  type Policy,
  type ModelVersion as PublicVersion,
} from "@tributary/api";
import { Command } from "commander";
import type { Context, Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import {
  gateWord,
  type ModelApi,
  type ModelVersion,
  modelApiOf,
  referenceOf,
  versionIn,
  withModelRegistry,
} from "../models/model-api.ts";
import { short, type View } from "../output.ts";
import { watchable, watched } from "../watch.ts";

export type Model = {
  /** Package digest of a model; name of a cloud target. */
  readonly id: string;
  readonly kind: "edge" | "cloud" | "cloud target";
  readonly name: string | null;
  readonly version: string | null;
  /** The registry's version; null if it does not have the package. */
  readonly registered: ModelVersion | null;
  readonly slots: readonly string[];
  /** Null: only the registry was queried. */
  readonly devices: readonly string[] | null;
  /** Of an edge model: cloud targets it has policies for. Of a target: edge models. */
  readonly policies: readonly string[];
  readonly labels: readonly string[];
  /** Of a target: final answers it gave among the newest. */
  readonly recentAnswers: number;
};

const view: View<Model> = {
  name: (model) => (model.registered === null ? model.id : referenceOf(model.registered)),
  columns: [
    { head: "MODEL", of: (m) => (m.kind === "cloud target" ? m.id : short(m.id)) },
    { head: "KIND", of: (m) => m.kind },
    { head: "NAME", of: (m) => (m.name === null ? null : `${m.name}@${m.version}`) },
    { head: "ALIASES", of: (m) => m.registered?.aliases.join(",") },
    { head: "STATE", of: stateOf },
    { head: "GATE", of: (m) => m.registered && gateWord(m.registered) },
    { head: "DEVICES", of: (m) => (m.kind === "cloud target" ? null : m.devices?.length) },
    { head: "POLICIES", of: (m) => m.policies.map((text) => (text.length === 64 ? short(text) : text)).join(",") },
    { head: "CLASSES", of: (m) => (m.labels.length > 0 ? m.labels.length : null) },
    { head: "ACCURACY", of: (m) => m.registered?.metrics.accuracy, wide: true },
    { head: "HARDWARE", of: (m) => m.registered?.hardwareClass, wide: true },
    { head: "BYTES", of: (m) => m.registered?.packageBytes, wide: true },
    { head: "PUSHED", of: (m) => m.registered && `${m.registered.pushedAt} by ${m.registered.pushedBy}`, wide: true },
    { head: "SLOTS", of: (m) => m.slots.join(","), wide: true },
    { head: "RECENT ANSWERS", of: (m) => (m.kind === "cloud target" ? m.recentAnswers : null), wide: true },
    { head: "DIGEST", of: (m) => (m.kind === "cloud target" ? null : m.id), wide: true },
  ],
};

/** Its state in a word; a package may run without being in the registry. */
function stateOf({ kind, registered }: Model): string | null {
  if (kind === "cloud target") return null;
  return registered === null ? "not registered" : registered.state.toLowerCase();
}

const listing = (command: Command, io: Io): Command =>
  withModelRegistry(watchable(command))
    .option("--name <NAME>", "only versions of this model")
    .action((options: { name?: string }, own: Command) =>
      watched(own, io, async ({ output }) => {
        const models = (await modelsOf(modelApiOf(own, io))).filter(
          ({ name }) => options.name === undefined || name === options.name,
        );
        output.list(models, view, "No models: none was pushed, no device reported one, and no policy names one.");
      }),
    );

const LISTED = "versions in the registry, models on devices, and cloud targets";
export const getModels = (io: Io): Command => listing(new Command("models").alias("model").description(LISTED), io);
export const listModels = (io: Io): Command => listing(new Command("list").description(LISTED), io);

const describing = (command: Command, io: Io): Command =>
  withModelRegistry(command)
    .argument("<model>", "NAME@VERSION, NAME@ALIAS, a digest or its prefix, or a cloud target's name")
    .action(async (id: string, _options: object, own: Command) => {
      const context = modelApiOf(own, io);
      const model = onlyOne(await modelsOf(context), id);
      const { output } = context;
      output.one(model, view.name(model), () => show(model, context));
    });

const DESCRIBED = "one model: its package, gate, aliases, devices, policies and classes";
export const describeModel = (io: Io): Command =>
  describing(new Command("model").alias("models").description(DESCRIBED), io);
export const describeModelToo = (io: Io): Command => describing(new Command("describe").description(DESCRIBED), io);

function show(model: Model, { output }: Context): void {
  const { registered, devices } = model;
  output.pairs([
    ["Model", model.id],
    ["Kind", model.kind],
    ["Name", model.name],
    ["Version", model.version],
    ...(model.kind === "cloud target" ? [] : [["State", stateOf(model)] as const]),
    ...(registered === null ? [] : registeredPairs(registered)),
    ["Slots", model.slots.join(", ")],
    ["Devices", devices === null ? "unknown to the registry; see the gateway" : devices.join(", ")],
    [model.kind === "cloud target" ? "Policies of" : "Policies for", model.policies.join(", ")],
    ["Classes", model.labels.join(", ")],
    ...(model.kind === "cloud target" ? [["Recent answers", model.recentAnswers] as const] : []),
  ]);
  if (registered === null) return;
  const { gate, judging, metrics, lineage } = registered;
  for (const [title, record] of [
    ["Metrics", metrics],
    ["Lineage", lineage],
  ] as const) {
    if (Object.keys(record).length === 0) continue;
    output.line();
    output.line(output.style("bold", title));
    output.pairs(Object.entries(record), "  ");
  }
  output.line();
  output.line(output.style("bold", `Gate: ${gateWord(registered) ?? "not judged"}`));
  if (judging) output.pairs([[judging.state, judging.detail]], "  ");
  if (gate === null) return;
  output.pairs(
    [
      ["Judged", gate.judgedAt],
      ["Champion", gate.championDigest],
      ["Frames", framesText(gate)],
      ...gate.failed.map((line, i) => [i === 0 ? "Failed" : "", line] as const),
      ...(gate.unsure ?? []).map((line, i) => [i === 0 ? "Unsure" : "", line] as const),
      ...(gate.forcedBy === "" ? [] : [["Forced", `by ${gate.forcedBy}: ${gate.forcedReason}`] as const]),
      ["Report", gate.reportDigest && `blobs/sha256/${gate.reportDigest} of the registry`],
      ["Page", gate.pageDigest && `blobs/sha256/${gate.pageDigest} of the registry`],
    ],
    "  ",
  );
}

const registeredPairs = (version: ModelVersion): readonly (readonly [string, unknown])[] => [
  ...(version.revoked === null
    ? []
    : [["Revoked", `${version.revoked.at} by ${version.revoked.by}: ${version.revoked.reason}`] as const]),
  ["Aliases", version.aliases.join(", ")],
  ["Hardware", version.hardwareClass],
  ["Latency budget", `${version.latencyBudgetMs} ms`],
  ["Bytes", version.packageBytes],
  ["Takes", version.input],
  ["Pushed", `${version.pushedAt} by ${version.pushedBy}`],
];

function onlyOne(models: readonly Model[], id: string): Model {
  if (id.includes("@")) {
    const { modelDigest } = versionIn(
      models.flatMap(({ registered }) => registered ?? []),
      id,
    );
    return models.find((model) => model.id === modelDigest) as Model;
  }
  const exact = models.find((model) => model.id === id);
  const [found, ...others] = exact === undefined ? models.filter((model) => model.id.startsWith(id)) : [exact];
  if (found === undefined) {
    throw new CliError(
      exitCodes.notFound,
      `No model starts with "${id}"; one of the registry is NAME@VERSION. See: tributary models list -o name`,
    );
  }
  if (others.length > 0) {
    const ids = [found, ...others].map((model) => `  ${model.id}`).join("\n");
    throw new CliError(exitCodes.usage, `"${id}" is the prefix of several models:\n${ids}`);
  }
  return found;
}

type Gate = NonNullable<PublicVersion["gate"]>;

/** Which frames the gate was shown, and how often by now: the more often, the less they measure the next candidate. */
function framesText({ validationDigest, validationGates, sliceDigest, sliceGates }: Gate): string | null {
  if (!validationDigest) return null; // Of a gate before it was recorded.
  const slice = sliceDigest ? `, slice ${short(sliceDigest)}, gate ${sliceGates} on it` : "";
  return `validation set ${short(validationDigest)}, gate ${validationGates} of this model on it${slice}`;
}

async function modelsOf({ gateway, models }: Context & { readonly models: ModelApi }): Promise<Model[]> {
  if (models.registry !== undefined) {
    return joinModels([], [], [], await models.versions()).map((model) => ({ ...model, devices: null }));
  }
  const [devices, policies, answers, versions] = await Promise.all([
    itemsOfPages((after) => gateway.devices.list({ after })),
    gateway.policies.list(),
    gateway.classifications.list({ source: "CLOUD", limit: 1_000 }),
    models.versions(),
  ]);
  return joinModels(devices, policies.items, answers.items, versions);
}

export function joinModels(
  devices: readonly Device[],
  policies: readonly Policy[],
  answers: readonly Answer[],
  versions: readonly ModelVersion[],
): Model[] {
  const slots = devices.flatMap(({ deviceId, reported }) =>
    Object.entries(reported?.slots ?? {}).map(([slot, model]) => ({ deviceId, slot, ...model })),
  );
  const registered = new Map(versions.map((version) => [version.modelDigest, version]));
  const seen = [...new Set([...slots, ...policies].map(({ modelDigest }) => modelDigest))].sort();
  const digests = [...registered.keys(), ...seen.filter((digest) => !registered.has(digest))];
  const targets = new Set([
    ...policies.map(({ cloudTarget }) => cloudTarget),
    ...answers.flatMap(({ cloudTarget }) => cloudTarget ?? []),
  ]);
  const packages = digests.map((id): Model => {
    const running = slots.filter((slot) => slot.modelDigest === id);
    const own = policies.filter((policy) => policy.modelDigest === id);
    const version = registered.get(id) ?? null;
    return {
      id,
      kind: version === null || version.edge ? "edge" : "cloud",
      name: version?.name ?? running[0]?.modelName ?? null,
      version: version?.version ?? running[0]?.modelVersion ?? null,
      registered: version,
      slots: [...new Set(running.map(({ slot }) => slot))],
      devices: running.map(({ deviceId }) => deviceId),
      policies: own.map(({ cloudTarget }) => cloudTarget),
      labels: version?.labels ?? own[0]?.labels ?? [],
      recentAnswers: 0,
    };
  });
  const cloud = [...targets].sort().map((id): Model => {
    const own = policies.filter((policy) => policy.cloudTarget === id);
    return {
      id,
      kind: "cloud target",
      name: null,
      version: null,
      registered: null,
      slots: [],
      devices: [],
      policies: own.map(({ modelDigest }) => modelDigest),
      labels: own[0]?.labels ?? [],
      recentAnswers: answers.filter(({ cloudTarget }) => cloudTarget === id).length,
    };
  });
  return [...packages, ...cloud];
}
