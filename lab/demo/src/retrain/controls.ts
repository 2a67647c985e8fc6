/**
 * What the main run is compared with, trained on the same site's photos, without the fleet.
 *
 * Some go to the registry as automatic candidates, too, and must not pass its gate: each under a model's name of its own, whose champion is
 * the first model, so that it has to beat what the fleet had, and not what people's labels made of it. No rollout is specified for the name.
 */
import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { clientOf, type GatewayClient, gatewayClient, type ModelVersion, modelRegistryApi } from "@tributary/api";
import { packageFiles, repackedPreprocessing } from "@tributary/inference";
import { Failure, seededRandom, systemClock } from "@tributary/kernel";
import { packModel } from "@tributary/model-packaging";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { cloudPackage, type Stack, tributary } from "@tributary/stack";
import { packageWithSample } from "../drift/package.ts";
import { CLASSES } from "../photos.ts";
import { type Figures, figuresLine, type Judge } from "./judge.ts";
import { settings } from "./settings.ts";
import { type Trainer, type Variant, WRONG_SHARE } from "./trainer.ts";

const GATE_MS_MAX = 300_000;
const POLL_MS = 1_000;

export type ControlName = Exclude<Variant, "retrained">;
/** `gate`: of those that go to the registry. */
export type Control = { readonly name: ControlName; readonly figures: Figures; readonly gate: Gate | null };
export type Gate = NonNullable<ModelVersion["gate"]>;

/** Those that must not pass the gate. */
const AT_GATE: readonly ControlName[] = ["cloud labels alone", "45 % wrong labels", "traded"];
export const controlNames: readonly ControlName[] = [...AT_GATE, "last layer only", "random photos"];

export type ControlOptions = {
  readonly dir: string;
  readonly trainer: Trainer;
  readonly judge: Judge;
  readonly validationDir: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

/** `main`: the candidate whose GATE frames of the slice judge these, too; null: none of them goes to the registry. */
export async function control(
  name: ControlName,
  stack: Stack,
  main: ModelVersion | null,
  options: ControlOptions,
): Promise<Control> {
  const { trainer, judge, log, signal } = options;
  signal.throwIfAborted();
  log(`control: ${name}`);
  const { model } = await trainer.train("dusk", name, 1);
  const figures = await judge.figures("dusk", model);
  log(`control, ${name}: ${figuresLine(figures)}`);
  const gate = main !== null && AT_GATE.includes(name) ? await gateOf(name, model, stack, main, options) : null;
  return { name, figures, gate };
}

async function gateOf(
  control: ControlName,
  model: Uint8Array,
  stack: Stack,
  main: ModelVersion,
  { dir, validationDir, log, signal }: ControlOptions,
): Promise<Gate> {
  const suffix = control.replaceAll(/\W+/g, "-");
  const name = `${main.name}-${suffix}`;
  const folder = join(dir, "control", suffix);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const champion = await packageWithSample(join(folder, "champion"), join(dir, "package"), settings.sampling, { name });
  const { digest, manifest } = await loadPackage(champion);
  const api = gatewayClient({ url: stack.gatewayUrl });
  await tributary(stack, "models", "push", champion, "--by", "demo");
  await api.models.alias({ name, alias: "champion", body: { version: manifest.version, by: "demo" } });
  await tributary(stack, "validation", "push", name, validationDir, "--by", "demo");
  const { slice = "", sliceFrames = "" } = main.lineage;
  // Who labels wrongly does so in the frames of the gate as well.
  const frames = control === "45 % wrong labels" ? await wronglyLabelled(stack, sliceFrames) : sliceFrames;
  const lineage = { trainingRun: `control-${suffix}`, slice, sliceFrames: frames, parent: digest };
  const version = `1.1.0-${suffix}`;
  await pack(folder, { name, version, model, lineage, validationDir });
  log(`control: ${name} ${version} is pushed as a trainer does it`);
  await tributary(stack, "models", "push", join(folder, "candidate"), "--by", "demo");
  await api.models.alias({ name, alias: "challenger", body: { version, by: "demo" } });
  return judged(api, name, version, signal);
}

type SliceFrames = { readonly frames: readonly { readonly label: string }[] };

/** The same frames, of which some get another label. */
async function wronglyLabelled({ registryUrl = "" }: Stack, digest: string): Promise<string> {
  const { blobs } = clientOf(modelRegistryApi, { url: registryUrl });
  const manifest: SliceFrames = JSON.parse((await buffer(blobs.get({ digest }))).toString());
  const random = seededRandom(1);
  const frames = manifest.frames.map((frame) => {
    if (random() >= WRONG_SHARE) return frame;
    const others = CLASSES.filter((name) => name !== frame.label);
    return { ...frame, label: others[Math.floor(random() * others.length)] };
  });
  const bytes = Buffer.from(JSON.stringify({ ...manifest, frames }));
  const own = createHash("sha256").update(bytes).digest("hex");
  await blobs.put({ digest: own, body: Readable.from([bytes]), length: bytes.length });
  return own;
}

type Packed = {
  readonly name: string;
  readonly version: string;
  readonly model: Uint8Array;
  readonly lineage: Readonly<Record<string, string>>;
  readonly validationDir: string;
};

async function pack(folder: string, { name, version, model, lineage, validationDir }: Packed): Promise<void> {
  const base = await loadPackage(join(folder, "champion"));
  const { input, hardwareClass, latencyBudgetMs } = base.manifest;
  const preprocessor = Buffer.from(await readPackageFile(base, packageFiles.preprocessor));
  const files = {
    "model.onnx": model,
    "labels.json": await readPackageFile(base, packageFiles.labels),
    "preprocessor_config.json": JSON.stringify(repackedPreprocessing(JSON.parse(preprocessor.toString()))),
    "lineage.json": JSON.stringify(lineage),
  };
  for (const [file, content] of Object.entries(files)) await writeFile(join(folder, file), content);
  await packModel(
    join(folder, "candidate"),
    {
      name,
      version,
      model: join(folder, "model.onnx"),
      labels: join(folder, "labels.json"),
      preprocess: join(folder, "preprocessor_config.json"),
      lineage: join(folder, "lineage.json"),
      validation: validationDir,
      splitSeed: lineage.trainingRun,
      preprocessedBy: input,
      hardwareClass,
      latencyBudgetMs,
      threads: 2,
      cloud: cloudPackage,
    },
    () => {},
  );
}

async function judged(api: GatewayClient, name: string, version: string, signal: AbortSignal) {
  const untilMs = performance.now() + GATE_MS_MAX;
  while (performance.now() < untilMs) {
    const { gate } = await api.models.version({ name, version }).catch(() => ({ gate: null }));
    if (gate !== null) return gate;
    await systemClock.sleep(POLL_MS, signal);
  }
  throw new Failure("gate-late", "ask-a-person", `${name} ${version} was not judged within ${GATE_MS_MAX / 1_000} s`);
}
