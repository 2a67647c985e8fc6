/**
 * The loop closes on one fleet: it grows dark at one site, a verdict asks for a training, people label what its queue shows, and the model
 * that comes out has to pass gate and canary before every device runs it.
 *
 * What the demo does beside changing what cameras see is what people do: push the first model and its photos, label. What is compared are the
 * registry's champion and the first model, on photos that nothing else uses (sets.ts).
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { clientOf, type GatewayClient, gatewayClient, modelRegistryApi, type TrainingDetail } from "@tributary/api";
import { type DriftVerdict, topics } from "@tributary/contracts";
import { packageFiles } from "@tributary/inference";
import { KafkaReader, readTopic } from "@tributary/kafka";
import { Failure, reasonOf, systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { Labeller, type Stack, startStack, tributary } from "@tributary/stack";
import type { Mlflow } from "@tributary/testing";
import { packageWithSample } from "../drift/package.ts";
import { see } from "../drift/see.ts";
import { DriftWatch } from "../drift/watch.ts";
import { type PooledPhoto, readPool } from "../photos.ts";
import { ReportedWatch } from "../rollout/watch.ts";
import { type Control, control, controlNames } from "./controls.ts";
import { checksOf, type Found } from "./findings.ts";
import { figuresLine, Judge } from "./judge.ts";
import { type Left } from "./kill-findings.ts";
import { PhaseKiller } from "./kills.ts";
import { labelQueue, type QueueLabels } from "./queue-labeller.ts";
import { ALIAS, mlflowOrWhy, REGISTERED, type Reading, readByDvc, readByMlflow } from "./readers.ts";
import { unseenOf } from "./sets.ts";
import { archiveConfig, driftConfig, managerConfig, registryConfig, settings, trainerConfig } from "./settings.ts";
import { CLEAR, DUSK, type Story } from "./story.ts";
import { Trainer } from "./trainer.ts";
import { TrainingWatch } from "./training-watch.ts";

const POLL_MS = 500;
const LOG_EVERY_MS = 10_000;
/** Who pushes, labels and decides. */
const PERSON = "demo";

export type RetrainOptions = {
  readonly dir: string;
  readonly pagesDir: string;
  readonly story: Story;
  readonly devices: number;
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
  /** Null: none reads what the loop leaves; else a server, or why there is none. */
  readonly mlflow: Mlflow | string | null;
  readonly steps: Step[];
};

export async function runRetrain(options: RetrainOptions) {
  const { story, dir, log } = options;
  const startedMs = performance.now();
  const fleet = fleetOf(options.devices, story);
  const packageDir = join(dir, "package");
  rmSync(packageDir, { recursive: true, force: true });
  const { edge } = story.packages;
  await packageWithSample(packageDir, edge, settings.sampling, { deadlineMs: settings.deadlineMs });
  const { name: model } = (await loadPackage(packageDir)).manifest;
  const mlflow = story.isTried ? await mlflowOrWhy(join(dir, "mlflow"), log) : null;
  const stack = await start(fleet, { packageDir, model, mlflow }, options).catch(async (error: unknown) => {
    if (typeof mlflow === "object") await mlflow?.stop();
    throw error;
  });
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "demo" });
  const api = gatewayClient({ url: stack.gatewayUrl });
  const pool = await readPool(story.poolDir);
  const world: World = { options, stack, api, model, packageDir, fleet, pool, reader, mlflow, steps: [] };
  try {
    const found = await mainRun(world);
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    const controls = await controlsOf(world, found);
    const checks = checksOf(found, controls, { seconds, devices: fleet.length, story });
    const passed = checks.every(({ holds }) => holds);
    const { left: _, ...shown } = found;
    return { task: story.task, passed, seconds, steps: world.steps, ...shown, controls, checks };
  } finally {
    await reader.close();
    await stack.stop();
    if (typeof mlflow === "object") await mlflow?.stop();
  }
}

function fleetOf(devices: number, { site, otherSites, atSite }: Story): readonly Member[] {
  return Array.from({ length: devices }, (_, i) => {
    const own = i < atSite ? site : (otherSites[i % otherSites.length] as string);
    return { deviceId: `light-${String(i + 1).padStart(3, "0")}`, site: own };
  });
}

async function start(
  fleet: readonly Member[],
  { packageDir, model, mlflow }: Pick<World, "packageDir" | "model" | "mlflow">,
  { dir, story, log, signal }: RetrainOptions,
): Promise<Stack> {
  const { edge, cloud } = story.packages;
  const trainer = {
    ...trainerConfig(model, cloud),
    ...story.trainer,
    ...(typeof mlflow === "object" &&
      mlflow !== null && { mlflow: { url: mlflow.url, models: { [model]: REGISTERED }, alias: ALIAS } }),
  };
  return startStack({
    dir: join(dir, "run"),
    fresh: true,
    supervised: true,
    kafka: { partitions: settings.partitions },
    packages: { edge: packageDir, cloud: edge },
    rollouts: { registry: registryConfig(model), manager: managerConfig(model) },
    drift: { config: driftConfig() },
    training: { archive: archiveConfig(), trainer },
    light: {
      devices: fleet.map((member) => ({
        ...member,
        labels: { lens: "acme-1" },
        scene: story.sceneOf(member.site, CLEAR),
      })),
      processes: settings.lightProcesses,
      fps: settings.fps,
      photos: story.poolDir,
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
  const killer =
    options.story.isTried && stack.trainer !== undefined
      ? new PhaseKiller(reader, stack.trainer, model, options.log)
      : null;
  try {
    drift.onVerdict = ({ state, cause, scopeKey, scopeValue, summary, loss }) =>
      options.log(`drift-monitor: ${state} ${cause} at ${scopeKey}=${scopeValue}, loss ${loss.state}: ${summary}`);
    await drift.start();
    await reported.start();
    await early.start();
    trainings.start();
    await killer?.start();
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
    await killer?.stop();
    const left = killer === null ? null : await leftOf(world, runId);
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
      kills: killer?.kills ?? [],
      left,
      readings: await readingsOf(world, run, judged.network),
    };
  } finally {
    const watches = [early, late, drift, reported, trainings, ...(killer === null ? [] : [killer])];
    await Promise.allSettled(watches.map((watch) => watch.stop()));
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
  const { log, story } = options;
  await tributary(stack, "models", "push", packageDir, "--by", "demo");
  const { version } = (await loadPackage(packageDir)).manifest;
  await api.models.alias({ name: model, alias: "champion", body: { version, by: "demo" } });
  const { validationDir: validation, baseDir: base } = story;
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
  const { site, sceneOf } = options.story;
  const own = fleet.filter((member) => member.site === site).map(({ deviceId }) => deviceId);
  await see(stack, own, sceneOf(site, DUSK));
  options.log(`it is dusk at site ${site}: ${own.length} devices`);
  const isLost = ({ state, scopeValue, retrain }: DriftVerdict) => state === "OPEN" && scopeValue === site && retrain;
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
  const queue = await labelQueue({ api, runId, truths, isWaiting, log: options.log, signal: options.signal });
  if (trainings.phaseOf(runId) !== "LABELLING") return queue;
  const why = `the training still waits for labels after ${settings.labellingMsMax / 1_000} s, ${queue.labels} of the queue among them`;
  throw new Failure("demo-late", "ask-a-person", why);
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
      options.log("the gate holds it for a person, who lets it pass");
      // The trainer may be down for a moment.
      resumedBy = await api.trainings.resume({ runId, body: { by: PERSON } }).then(
        () => PERSON,
        (error: unknown) => {
          options.log(reasonOf(error));
          return null;
        },
      );
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
  const page = join(options.pagesDir, `retrain.${options.story.task}.html`);
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
  const { sha256: network } = manifest.files[packageFiles.model];
  const deployed = await bytesOf(network);
  await Promise.all(stack.light.map(({ part }) => part.stop()));
  const judge = await Judge.open(packageDir, options.story.unseen);
  const figures = await judge.figures("dusk", deployed);
  options.log(figuresLine(figures));
  const ofGains = await options.story.gains?.();
  const gains = ofGains === undefined ? null : await judge.gainFigures("dusk", ofGains);
  if (gains !== null) options.log(`one gain per channel: ${figuresLine(gains)}`);
  return { champion, manifestDigest, network: network as string, figures, gains };
}

/** What a training left in Kafka's public topics, and the trainer's results. */
async function leftOf({ reader, model, options }: World, runId: string): Promise<Left> {
  const all = async <T>({ name, codec }: { name: string; codec: { decodeConfluent(value: Buffer): T } }) => {
    const values: T[] = [];
    for await (const { value } of readTopic(reader, name))
      if (value !== null) values.push(codec.decodeConfluent(value));
    return values;
  };
  const [runs, events, datasets, models, aliases] = await Promise.all([
    all(topics.trainingResults),
    all(topics.trainingRequests),
    all(topics.datasets),
    all(topics.models),
    all(topics.modelAliases),
  ]);
  return {
    runs: runs.filter((run) => run.model === model),
    events: events.filter((event) => event.model === model),
    datasets: datasets.filter((dataset) => dataset.model === model),
    models: models.filter(({ name }) => name === model),
    aliases: aliases.filter(({ name }) => name === model),
    results: await readdir(join(options.dir, "run", "trainer", "results", runId)),
  };
}

async function readingsOf(world: World, run: TrainingDetail, network: string): Promise<readonly Reading[]> {
  const { mlflow, api, options } = world;
  if (mlflow === null) return [];
  return timed(world, "read by DVC and MLflow", async () => {
    const remote = join(options.dir, "run", "trainer", "datasets");
    const readings = [
      await readByDvc(api, run, { dir: join(options.dir, "dvc"), remote }),
      await readByMlflow(mlflow, run, network),
    ];
    for (const { tool, skipped } of readings)
      options.log(`${tool} ${skipped === null ? "read it" : `is left out: ${skipped}`}`);
    return readings;
  });
}

async function controlsOf(world: World, { candidate }: Found): Promise<readonly Control[]> {
  const { options, stack, packageDir } = world;
  const { story, log, signal, dir } = options;
  const { controls: sites, validationDir, packages } = story;
  if (sites === null) return [];
  const trainer = new Trainer({ dir, sites, edgeDir: packageDir, cloudDir: packages.cloud, progress: log, signal });
  const judge = await Judge.open(packageDir, unseenOf(sites));
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
