/**
 * The loop closes on one fleet: it grows dark at one site, a verdict asks for a training, people label what its queue shows, and the model
 * that comes out has to pass gate and canary before every device runs it.
 *
 * What the demo does beside changing what cameras see is what people do: push the first model and its photos, label. What is compared are the
 * registry's champion and the first model, on photos that nothing else uses (sets.ts).
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { clientOf, type GatewayClient, gatewayClient, modelRegistryApi, type TrainingDetail } from "@tributary/api";
import type { DriftVerdict } from "@tributary/contracts";
import { packageFiles } from "@tributary/inference";
import { KafkaReader } from "@tributary/kafka";
import { Failure, systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { cloudPackage, edgePackage, Labeller, type Stack, startStack, tributary } from "@tributary/stack";
import { packageWithSample } from "../drift/package.ts";
import { see } from "../drift/see.ts";
import { DriftWatch } from "../drift/watch.ts";
import { type PooledPhoto, readPool } from "../photos.ts";
import { ReportedWatch } from "../rollout/watch.ts";
import { channelGains } from "./channel-gains.ts";
import { type Control, control, controlNames } from "./controls.ts";
import { checksOf, type Found } from "./findings.ts";
import { figuresLine, Judge } from "./judge.ts";
import { CLEAR, DUSK } from "./pool.ts";
import { labelQueue, type QueueLabels } from "./queue-labeller.ts";
import type { SiteSets } from "./sets.ts";
import { archiveConfig, driftConfig, managerConfig, registryConfig, settings, trainerConfig } from "./settings.ts";
import { Trainer } from "./trainer.ts";
import { TrainingWatch } from "./training-watch.ts";

const POLL_MS = 500;
const LOG_EVERY_MS = 10_000;
const SITE = "north";
const OTHER_SITES = ["south", "east", "harbour"];

export type RetrainOptions = {
  readonly dir: string;
  readonly pagesDir: string;
  readonly poolDir: string;
  readonly sites: SiteSets;
  readonly devices: number;
  /** Whether controls are trained, too. */
  readonly controls: boolean;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

export type Step = { readonly name: string; readonly seconds: number };

export type RetrainReport = Awaited<ReturnType<typeof runRetrain>>;

type Member = { readonly deviceId: string; readonly site: string };

type World = {
  readonly options: RetrainOptions;
  readonly stack: Stack;
  readonly api: GatewayClient;
  readonly model: string;
  readonly packageDir: string;
  readonly fleet: readonly Member[];
  readonly pool: readonly PooledPhoto[];
  readonly reader: KafkaReader;
  readonly steps: Step[];
};

export async function runRetrain(options: RetrainOptions) {
  const startedMs = performance.now();
  const fleet = fleetOf(options.devices);
  const packageDir = join(options.dir, "package");
  rmSync(packageDir, { recursive: true, force: true });
  await packageWithSample(packageDir, edgePackage, settings.sampling, { deadlineMs: settings.deadlineMs });
  const { name: model } = (await loadPackage(packageDir)).manifest;
  // Before there are devices that it would slow down.
  await options.sites.folder("validation");
  await options.sites.folder("base", settings.basePhotos);
  const stack = await start(fleet, packageDir, model, options);
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "demo" });
  const api = gatewayClient({ url: stack.gatewayUrl });
  const pool = await readPool(options.poolDir);
  const world: World = { options, stack, api, model, packageDir, fleet, pool, reader, steps: [] };
  try {
    const found = await mainRun(world);
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    const controls = await controlsOf(world, found);
    const checks = checksOf(found, controls, { seconds, devices: fleet.length });
    const passed = checks.every(({ holds }) => holds);
    return { passed, seconds, steps: world.steps, ...found, controls, checks };
  } finally {
    await reader.close();
    await stack.stop();
  }
}

function fleetOf(devices: number): readonly Member[] {
  return Array.from({ length: devices }, (_, i) => {
    const site = i < settings.atSite ? SITE : (OTHER_SITES[i % OTHER_SITES.length] as string);
    return { deviceId: `light-${String(i + 1).padStart(3, "0")}`, site };
  });
}

async function start(
  fleet: readonly Member[],
  packageDir: string,
  model: string,
  { dir, poolDir, log, signal }: RetrainOptions,
): Promise<Stack> {
  return startStack({
    dir: join(dir, "run"),
    fresh: true,
    supervised: true,
    kafka: { partitions: settings.partitions },
    packages: { edge: packageDir, cloud: edgePackage },
    rollouts: { registry: registryConfig(model), manager: managerConfig(model) },
    drift: { config: driftConfig() },
    training: { archive: archiveConfig(), trainer: trainerConfig(model, cloudPackage) },
    light: {
      devices: fleet.map((member) => ({ ...member, labels: { lens: "acme-1" }, scene: { view: CLEAR } })),
      processes: settings.lightProcesses,
      fps: settings.fps,
      photos: poolDir,
      batchWaitMs: settings.batchWaitMs,
      windowMs: settings.windowMs,
    },
    signal,
    onStep: (step) => log(`starting ${step}`),
    onEvent: log,
  });
}

/** From the clean past to the champion that came of the verdict. */
async function mainRun(world: World): Promise<Found> {
  const { options, api, model, reader, stack } = world;
  const drift = new DriftWatch(reader);
  const reported = new ReportedWatch(reader);
  const trainings = new TrainingWatch(api, model, options.log);
  const early = labellerOf(world, settings.labelledShare);
  const late = labellerOf(world, 1);
  try {
    drift.onVerdict = ({ state, cause, scopeKey, scopeValue, summary, loss }) =>
      options.log(`drift-monitor: ${state} ${cause} at ${scopeKey}=${scopeValue}, loss ${loss.state}: ${summary}`);
    await drift.start();
    await reported.start();
    await early.start();
    trainings.start();
    await timed(world, "first model, validation and base photos, clean past", () => preparation(world, drift));
    const verdict = await timed(world, "dusk to verdict", () => verdictOf(world, drift));
    const runId = await timed(world, "verdict to training", () => runOf(world, trainings, verdict));
    await early.stop();
    const queue = await timed(world, "labels", () => labelled(world, trainings, runId));
    await timed(world, "dataset, training and package", () => trainedUntilGate(world, trainings, runId));
    await late.start();
    const resumedBy = await timed(world, "gate and rollout", () => rolledOut(world, trainings, runId));
    const run = await api.trainings.one({ runId });
    const page = await pageOf(world, runId);
    const judged = await timed(world, "judging on unseen photos", () => judgedChampion(world));
    const candidate = await candidateOf(world, run);
    const { manifestDigest: digest } = judged;
    return {
      verdict,
      run,
      queue,
      candidate,
      resumedBy,
      page,
      ...judged,
      devicesOnChampion: reported.on(digest).length,
    };
  } finally {
    await Promise.allSettled([early.stop(), late.stop(), drift.stop(), reported.stop(), trainings.stop()]);
    await Promise.all(stack.light.map(({ part }) => part.stop()));
  }
}

/** It knows a share of the photos: the others' frames remain without a label. */
function labellerOf({ options, stack, reader, pool }: World, share: number): Labeller {
  const known = pool.filter(({ sha256 }) => Number.parseInt(sha256.slice(0, 8), 16) / 2 ** 32 < share);
  return new Labeller({
    reader,
    gatewayUrl: stack.gatewayUrl,
    truths: new Map(known.map(({ sha256, label }) => [sha256, label])),
    labelledBy: "demo",
    delayMs: settings.labelDelayMs,
    onTrouble: options.log,
  });
}

async function timed<T>({ steps, options }: World, name: string, work: () => Promise<T>): Promise<T> {
  options.log(`== ${name}`);
  const startedMs = performance.now();
  const done = await work();
  steps.push({ name, seconds: Math.round((performance.now() - startedMs) / 1_000) });
  return done;
}

/** What people do once; meanwhile devices get their past. */
async function preparation(world: World, drift: DriftWatch): Promise<void> {
  const { stack, api, model, packageDir, options } = world;
  const { sites, log } = options;
  await tributary(stack, "models", "push", packageDir, "--by", "demo");
  const { version } = (await loadPackage(packageDir)).manifest;
  await api.models.alias({ name: model, alias: "champion", body: { version, by: "demo" } });
  const [validation, base] = [await sites.folder("validation"), await sites.folder("base", settings.basePhotos)];
  log((await tributary(stack, "validation", "push", model, validation, "--by", "demo")).trim());
  const startedMs = performance.now();
  const pushed = await tributary(stack, "datasets", "push", model, base, "--by", "demo");
  log(`${pushed.trim()} (${Math.round((performance.now() - startedMs) / 1_000)} s)`);
  await cleanPast(world, drift);
}

async function cleanPast({ fleet, options: { log, signal } }: World, { windows }: DriftWatch): Promise<void> {
  const wanted = settings.baselineWindows + settings.cleanWindows;
  for (let loggedMs = 0; ; await systemClock.sleep(POLL_MS, signal)) {
    const least = Math.min(...fleet.map(({ deviceId }) => windows.get(deviceId) ?? 0));
    if (least >= wanted) return;
    if (performance.now() - loggedMs < LOG_EVERY_MS) continue;
    loggedMs = performance.now();
    log(`clean past: ${least} of ${wanted} windows`);
  }
}

async function verdictOf({ stack, fleet, options }: World, drift: DriftWatch): Promise<DriftVerdict> {
  const own = fleet.filter(({ site }) => site === SITE).map(({ deviceId }) => deviceId);
  await see(stack, own, { view: DUSK });
  options.log(`it is dusk at site ${SITE}: ${own.length} devices`);
  const isLost = ({ state, scopeValue, retrain }: DriftVerdict) => state === "OPEN" && scopeValue === SITE && retrain;
  return untilFound(options, settings.verdictMsMax, "a verdict that loses frames", async () =>
    drift.history.find(isLost),
  );
}

async function runOf({ options }: World, trainings: TrainingWatch, { verdictId }: DriftVerdict): Promise<string> {
  const isOwn = (run: { readonly verdictId: string }) => run.verdictId === verdictId;
  const run = await untilFound(options, 60_000, "a training of the verdict", async () => {
    const found = trainings.runs.find(isOwn);
    return found?.phase === "QUEUED" ? undefined : found;
  });
  return run.runId;
}

async function labelled({ api, pool, options }: World, trainings: TrainingWatch, runId: string): Promise<QueueLabels> {
  const untilMs = performance.now() + settings.labellingMsMax;
  const isWaiting = () => trainings.phaseOf(runId) === "LABELLING" && performance.now() < untilMs;
  const truths = new Map(pool.map(({ sha256, label }) => [sha256, label]));
  return labelQueue({ api, runId, truths, isWaiting, log: options.log, signal: options.signal });
}

async function trainedUntilGate({ options }: World, trainings: TrainingWatch, runId: string): Promise<void> {
  await untilFound(options, settings.trainingMsMax, "a candidate at the gate", async () => {
    const phase = trainings.phaseOf(runId);
    const isThere = ["GATE", "HELD", "ROLLOUT", "SUCCEEDED"].includes(phase);
    return isThere || trainings.isOver(runId) ? true : undefined;
  });
}

/** A person lets it pass where the gate is unsure; who, is returned. */
async function rolledOut({ api, options }: World, trainings: TrainingWatch, runId: string): Promise<string | null> {
  let resumedBy: string | null = null;
  await untilFound(options, settings.trainingMsMax, "the end of the training", async () => {
    if (trainings.isOver(runId)) return true;
    if (trainings.phaseOf(runId) === "HELD" && resumedBy === null) {
      resumedBy = "demo";
      options.log("the gate holds it for a person, who lets it pass");
      await api.trainings.resume({ runId, body: { by: resumedBy } });
    }
    return undefined;
  });
  // The devices' last reports are in flight.
  await systemClock.sleep(3_000, options.signal);
  return resumedBy;
}

async function untilFound<T>(
  { signal }: RetrainOptions,
  msMax: number,
  what: string,
  find: () => Promise<T | undefined>,
): Promise<T> {
  const untilMs = performance.now() + msMax;
  while (performance.now() < untilMs) {
    const found = await find();
    if (found !== undefined) return found;
    await systemClock.sleep(POLL_MS, signal);
  }
  throw new Failure("demo-late", "ask-a-person", `${what} did not come within ${msMax / 1_000} s`);
}

async function pageOf({ api, options }: World, runId: string): Promise<string> {
  mkdirSync(options.pagesDir, { recursive: true });
  const page = join(options.pagesDir, "retrain.training.html");
  writeFileSync(page, await api.trainings.report({ runId }));
  return page;
}

async function candidateOf({ api, model }: World, { candidateVersion: version }: TrainingDetail) {
  return version === "" ? null : api.models.version({ name: model, version });
}

/** As the registry serves it. */
async function judgedChampion(world: World) {
  const { api, model, stack, packageDir, options } = world;
  const champion = (await api.models.one({ name: model })).aliases.champion ?? "";
  const { modelDigest: manifestDigest } = await api.models.version({ name: model, version: champion });
  const { blobs } = clientOf(modelRegistryApi, { url: stack.registryUrl ?? "" });
  const bytesOf = (digest: string) => buffer(blobs.get({ digest }));
  const manifest = JSON.parse((await bytesOf(manifestDigest)).toString());
  const deployed = await bytesOf(manifest.files[packageFiles.model].sha256);
  await Promise.all(stack.light.map(({ part }) => part.stop()));
  const judge = await Judge.open(packageDir, options.sites);
  const figures = await judge.figures("dusk", deployed);
  options.log(figuresLine(figures));
  const gains = await judge.gainFigures("dusk", await channelGains(options.sites, "dusk"));
  options.log(`one gain per channel: ${figuresLine(gains)}`);
  return { champion, manifestDigest, figures, gains };
}

async function controlsOf(world: World, { candidate }: Found): Promise<readonly Control[]> {
  const { options, stack, packageDir } = world;
  if (!options.controls) return [];
  const { sites, log, signal, dir } = options;
  const trainer = new Trainer({ dir, sites, edgeDir: packageDir, cloudDir: cloudPackage, progress: log, signal });
  const judge = await Judge.open(packageDir, sites);
  const validationDir = await sites.folder("validation");
  const found = new Map<string, Control>();
  const waiting = controlNames.values();
  const next = async () => {
    for (const name of waiting) {
      await timed(world, `control: ${name}`, async () => {
        found.set(name, await control(name, stack, candidate, { dir, trainer, judge, validationDir, log, signal }));
      });
    }
  };
  // Each is trained by one thread.
  await Promise.all(Array.from({ length: availableParallelism() }, next));
  return controlNames.flatMap((name) => found.get(name) ?? []);
}
