/** `get|describe models`: the packages that devices report and policies name, and the cloud targets beside them. */
import { Command } from "commander";
import type { Answer, Device, Page, Policy } from "../api.ts";
import { type Context, contextOf, type Io } from "../context.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { short, type View } from "../output.ts";
import { watchable, watched } from "../watch.ts";

export type Model = {
  /** Package digest of an edge model; name of a cloud target. */
  readonly id: string;
  readonly kind: "edge" | "cloud target";
  readonly name: string | null;
  readonly version: string | null;
  readonly slots: readonly string[];
  readonly devices: readonly string[];
  /** Of an edge model: cloud targets it has policies for. Of a target: edge models. */
  readonly policies: readonly string[];
  readonly labels: readonly string[];
  /** Of a target: final answers it gave among the newest. */
  readonly recentAnswers: number;
};

const view: View<Model> = {
  name: (model) => model.id,
  columns: [
    { head: "MODEL", of: (m) => (m.kind === "edge" ? short(m.id) : m.id) },
    { head: "KIND", of: (m) => m.kind },
    { head: "NAME", of: (m) => (m.name === null ? null : `${m.name} ${m.version}`) },
    { head: "DEVICES", of: (m) => (m.kind === "edge" ? m.devices.length : null) },
    { head: "POLICIES", of: (m) => m.policies.map((text) => (text.length === 64 ? short(text) : text)).join(",") },
    { head: "CLASSES", of: (m) => (m.labels.length > 0 ? m.labels.length : null) },
    { head: "SLOTS", of: (m) => m.slots.join(","), wide: true },
    { head: "RECENT ANSWERS", of: (m) => (m.kind === "edge" ? null : m.recentAnswers), wide: true },
    { head: "DIGEST", of: (m) => (m.kind === "edge" ? m.id : null), wide: true },
  ],
};

export const getModels = (io: Io): Command =>
  watchable(new Command("models"))
    .alias("model")
    .description("model packages on devices and in policies, and cloud targets")
    .action((_options: object, command: Command) =>
      watched(command, io, async (context) => {
        context.output.list(
          await modelsOf(context),
          view,
          "No models: no device reported one and no policy names one.",
        );
      }),
    );

export const describeModel = (io: Io): Command =>
  new Command("model")
    .alias("models")
    .argument("<id>", "digest or the beginning of it, or a cloud target's name")
    .description("one model: who runs it, what it is called, its policies and classes")
    .action(async (id: string, _options: object, command: Command) => {
      const context = contextOf(command, io);
      const model = onlyOne(await modelsOf(context), id);
      const { output } = context;
      output.one(model, model.id, () =>
        output.pairs([
          ["Model", model.id],
          ["Kind", model.kind],
          ["Name", model.name],
          ["Version", model.version],
          ["Slots", model.slots.join(", ")],
          ["Devices", model.devices.join(", ")],
          [model.kind === "edge" ? "Policies for" : "Policies of", model.policies.join(", ")],
          ["Classes", model.labels.join(", ")],
          ...(model.kind === "edge" ? [] : [["Recent answers", model.recentAnswers] as const]),
        ]),
      );
    });

function onlyOne(models: readonly Model[], id: string): Model {
  const exact = models.find((model) => model.id === id);
  const [found, ...others] = exact === undefined ? models.filter((model) => model.id.startsWith(id)) : [exact];
  if (found === undefined) {
    throw new CliError(exitCodes.notFound, `No model begins with "${id}". See: tributary get models -o name`);
  }
  if (others.length > 0) {
    const ids = [found, ...others].map((model) => `  ${model.id}`).join("\n");
    throw new CliError(exitCodes.usage, `"${id}" is the beginning of several models:\n${ids}`);
  }
  return found;
}

async function modelsOf({ gateway }: Context): Promise<Model[]> {
  const [devices, policies, answers] = await Promise.all([
    gateway.call<Page<Device>>("api/v1/devices"),
    gateway.call<Page<Policy>>("api/v1/policies"),
    gateway.call<Page<Answer>>("api/v1/classifications", { query: { source: "CLOUD", limit: "1000" } }),
  ]);
  return joinModels(devices.items, policies.items, answers.items);
}

export function joinModels(
  devices: readonly Device[],
  policies: readonly Policy[],
  answers: readonly Answer[],
): Model[] {
  const slots = devices.flatMap(({ deviceId, reported }) =>
    Object.entries(reported?.slots ?? {}).map(([slot, model]) => ({ deviceId, slot, ...model })),
  );
  const digests = [...new Set([...slots, ...policies].map(({ modelDigest }) => modelDigest))].sort();
  const targets = new Set([
    ...policies.map(({ cloudTarget }) => cloudTarget),
    ...answers.flatMap(({ cloudTarget }) => cloudTarget ?? []),
  ]);
  const edge = digests.map((id): Model => {
    const running = slots.filter((slot) => slot.modelDigest === id);
    const own = policies.filter((policy) => policy.modelDigest === id);
    return {
      id,
      kind: "edge",
      name: running[0]?.modelName ?? null,
      version: running[0]?.modelVersion ?? null,
      slots: [...new Set(running.map(({ slot }) => slot))],
      devices: running.map(({ deviceId }) => deviceId),
      policies: own.map(({ cloudTarget }) => cloudTarget),
      labels: own[0]?.labels ?? [],
      recentAnswers: 0,
    };
  });
  const cloud = [...targets].sort().map((id): Model => {
    const own = policies.filter((policy) => policy.cloudTarget === id);
    return {
      id,
      kind: "cloud target",
      ...{ name: null, version: null, slots: [], devices: [] },
      policies: own.map(({ modelDigest }) => modelDigest),
      labels: own[0]?.labels ?? [],
      recentAnswers: answers.filter(({ cloudTarget }) => cloudTarget === id).length,
    };
  });
  return [...edge, ...cloud];
}
