/**
 * What the main run is compared with, trained on the same site's photos, without the fleet.
 *
 * What the cloud alone labelled goes to the registry as an automatic candidate, too: under a model's name of its own, whose champion is
 * the first model, so that it has to beat what the fleet had, and not what people's labels made of it. No rollout is specified for the name.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type GatewayClient, gatewayClient, type ModelVersion } from "@tributary/api";
import { packageFiles } from "@tributary/inference";
import { Failure, systemClock } from "@tributary/kernel";
import { packModel } from "@tributary/model-packaging";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { cloudPackage, type Stack, tributary } from "@tributary/stack";
import { packageWithSample } from "../drift/package.ts";
import type { Figures, Judge } from "./judge.ts";
import { settings } from "./settings.ts";
import type { Trainer, Variant } from "./trainer.ts";

const GATE_MS_MAX = 300_000;
const POLL_MS = 1_000;
const RUN = "control-cloud-labels";

export type ControlName = Exclude<Variant, "retrained" | "45 % wrong labels">;
export type Control = { readonly name: ControlName; readonly figures: Figures };
export type GateFound = { readonly version: string; readonly gate: NonNullable<ModelVersion["gate"]> };

export type ControlOptions = {
  readonly dir: string;
  readonly trainer: Trainer;
  readonly judge: Judge;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

export async function control(name: ControlName, options: ControlOptions) {
  const { trainer, judge, log, signal } = options;
  signal.throwIfAborted();
  log(`control: ${name}`);
  const { model } = await trainer.train("dusk", name, 1);
  const figures = await judge.figures("dusk", model);
  return { name, figures, model };
}

/** `main`: the candidate whose GATE frames of the slice judge this one, too. */
export async function cloudCandidateAtGate(
  stack: Stack,
  model: Uint8Array,
  main: ModelVersion,
  validationDir: string,
  { dir, log, signal }: ControlOptions,
): Promise<GateFound> {
  const name = `${main.name}-cloud-labels`;
  const folder = join(dir, "control");
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const champion = await packageWithSample(join(folder, "champion"), join(dir, "package"), settings.sampling, name);
  const { digest, manifest } = await loadPackage(champion);
  const api = gatewayClient({ url: stack.gatewayUrl });
  await tributary(stack, "models", "push", champion, "--by", "demo");
  await api.models.alias({ name, alias: "champion", body: { version: manifest.version, by: "demo" } });
  await tributary(stack, "validation", "push", name, validationDir, "--by", "demo");
  const version = await pack(folder, name, model, { ...main.lineage, parent: digest }, validationDir);
  log(`control: ${name} ${version} is pushed as a trainer does it`);
  await tributary(stack, "models", "push", join(folder, "candidate"), "--by", "demo");
  await api.models.alias({ name, alias: "challenger", body: { version, by: "demo" } });
  return { version, gate: await gateOf(api, name, version, signal) };
}

async function pack(
  folder: string,
  name: string,
  model: Uint8Array,
  { slice = "", sliceFrames = "", parent = "" }: Readonly<Record<string, string>>,
  validation: string,
): Promise<string> {
  const base = await loadPackage(join(folder, "champion"));
  const { input, hardwareClass, latencyBudgetMs } = base.manifest;
  const files = {
    "model.onnx": model,
    "labels.json": await readPackageFile(base, packageFiles.labels),
    "preprocessor_config.json": await readPackageFile(base, packageFiles.preprocessor),
    "lineage.json": JSON.stringify({ trainingRun: RUN, slice, sliceFrames, parent }),
  };
  for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content);
  const version = "1.1.0-cloud-labels";
  await packModel(
    join(folder, "candidate"),
    {
      name,
      version,
      model: join(folder, "model.onnx"),
      labels: join(folder, "labels.json"),
      preprocess: join(folder, "preprocessor_config.json"),
      lineage: join(folder, "lineage.json"),
      validation,
      splitSeed: RUN,
      preprocessedBy: input,
      hardwareClass,
      latencyBudgetMs,
      threads: 2,
      cloud: cloudPackage,
    },
    () => {},
  );
  return version;
}

async function gateOf(api: GatewayClient, name: string, version: string, signal: AbortSignal) {
  const untilMs = performance.now() + GATE_MS_MAX;
  while (performance.now() < untilMs) {
    const { gate } = await api.models.version({ name, version }).catch(() => ({ gate: null }));
    if (gate !== null) return gate;
    await systemClock.sleep(POLL_MS, signal);
  }
  throw new Failure("gate-late", "ask-a-person", `${name} ${version} was not judged within ${GATE_MS_MAX / 1_000} s`);
}
