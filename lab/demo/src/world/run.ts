/**
 * A fleet that knows where it is: a table is trained from its own frames, and rolled out to devices that drive and park; then a poisoned
 * one, and one of other classes.
 *
 * Photos, models, cloud answers and every service are real. Simulated are the places, which classes are seen at each, and when devices
 * park. What a table does is read from Kafka: reports of devices, and the table that each frame was answered with.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type GatewayClient, gatewayClient, type RolloutDetail } from "@tributary/api";
import { KafkaReader } from "@tributary/kafka";
import { reasonOf, systemClock } from "@tributary/kernel";
import { loadWorld, type WorldPackage, writeWorld } from "@tributary/model-store";
import { cloudPackage, edgePackage, Labeller, type Stack, startStack, tributary } from "@tributary/stack";
import { waitFor } from "@tributary/testing";
import { packageWithSample } from "../drift/package.ts";
import { readPool } from "../photos.ts";
import { ReportedWatch } from "../rollout/watch.ts";
import { everyone, fleet } from "./fleet.ts";
import { Parking } from "./parking.ts";
import { otherClasses, poisoned } from "./poison.ts";
import { factors, MODEL, managerConfig, routerConfig, settings } from "./settings.ts";

const POLL_MS = 500;
const NOTHING_MS = 10_000;
/** Code of a device whose truths were less likely with a table than without. */
const WORSE = "world-worse";

export type Check = { readonly name: string; readonly holds: boolean; readonly found: string };
export type WorldReport = {
  readonly passed: boolean;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly checks: readonly Check[];
  readonly statuses: readonly string[];
};
/** What became of a table. */
export type Row = {
  readonly table: string;
  readonly gate: string;
  readonly ended: string;
  readonly ran: number;
  readonly parked: number;
  readonly driving: number;
  readonly frames: number;
  /** Devices that reverted it by themselves. */
  readonly reverted: number;
  readonly devices: string;
};

export type WorldOptions = {
  readonly dir: string;
  readonly poolDir: string;
  /** Devices that apply a table while they drive (lab/sabotage), which the checks have to find. */
  readonly isControl: boolean;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

type Scene = WorldOptions & {
  readonly stack: Stack;
  readonly api: GatewayClient;
  readonly reported: ReportedWatch;
  readonly parking: Parking;
  readonly first: WorldPackage;
  readonly rows: Row[];
  readonly checks: Check[];
  readonly statuses: string[];
};

export async function runWorld(options: WorldOptions): Promise<WorldReport> {
  const { dir, poolDir, log } = options;
  const startedMs = performance.now();
  rmSync(dir, { recursive: true, force: true });
  const perception = await packageWithSample(join(dir, "perception"), edgePackage, settings.sampling, {
    deadlineMs: settings.deadlineMs,
  });
  const first = await firstTable(dir, perception);
  const stack = await start(perception, first, options);
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "demo" });
  const reported = new ReportedWatch(reader, "world");
  const parking = new Parking(stack);
  const truths = new Map((await readPool(poolDir)).map(({ sha256, label }) => [sha256, label]));
  const { gatewayUrl } = stack;
  const labeller = new Labeller({
    ...{ reader, gatewayUrl, truths, labelledBy: "demo", delayMs: settings.labelDelayMs, onTrouble: log },
  });
  const api = gatewayClient({ url: gatewayUrl });
  const scene: Scene = { ...options, stack, api, reported, parking, first, rows: [], checks: [], statuses: [] };
  try {
    await Promise.all([reported.start(), parking.start(reader), labeller.start()]);
    await firstEverywhere(scene);
    if (options.isControl) await appliedWhileDriving(scene);
    else {
      const good = await goodTable(scene);
      await poisonedTable(scene, good);
      await foreignTable(scene, good);
    }
  } catch (error) {
    scene.checks.push({ name: "the run ends", holds: false, found: reasonOf(error) });
  } finally {
    await Promise.all([reported.stop(), parking.stop(), labeller.stop()]);
    await reader.close();
    await stack.stop();
  }
  const { rows, checks, statuses } = scene;
  const seconds = Math.round((performance.now() - startedMs) / 1_000);
  return { passed: checks.every(({ holds }) => holds), seconds, rows, checks, statuses };
}

/** By `tributary world init`: it has no counts. */
async function firstTable(dir: string, perception: string): Promise<WorldPackage> {
  const [target, file] = [join(dir, "world-0.0.0"), join(dir, "factors.json")];
  writeFileSync(file, JSON.stringify(factors));
  const nothing = { gatewayUrl: "", registryUrl: undefined, brokers: [], prefix: "" };
  await tributary(nothing, "world", "init", target, "--like", perception, "--factors", file, "--name", MODEL);
  return loadWorld(target);
}

const start = (
  perception: string,
  first: WorldPackage,
  { dir, poolDir, isControl, log, signal }: WorldOptions,
): Promise<Stack> =>
  startStack({
    dir: join(dir, "run"),
    fresh: true,
    supervised: true,
    ...(isControl && { sabotage: sabotagedDevices }),
    packages: { edge: perception, cloud: cloudPackage },
    services: { router: routerConfig },
    rollouts: { manager: managerConfig() },
    light: {
      devices: fleet,
      processes: settings.lightProcesses,
      fps: settings.fps,
      photos: poolDir,
      batchWaitMs: settings.batchWaitMs,
      windowMs: settings.windowMs,
      world: first.dir,
    },
    signal,
    onStep: (step) => log(`starting ${step}`),
    onEvent: log,
  });

const sabotagedDevices = Object.fromEntries(
  Array.from({ length: settings.lightProcesses }, (_, i) => [`light-devices-${i + 1}`, "apply-while-driving"]),
);

async function firstEverywhere(scene: Scene): Promise<void> {
  const { api, first, reported, log } = scene;
  await push(scene, first);
  await api.models.alias({ name: MODEL, alias: "champion", body: { version: first.manifest.version, by: "demo" } });
  await seen(scene, "the first table everywhere", () => reported.on(first.digest).length === everyone.length);
  log(`${everyone.length} devices drive with ${MODEL} ${first.manifest.version}, which has no counts`);
}

/** The control: nobody parks. */
async function appliedWhileDriving(scene: Scene): Promise<void> {
  const { dir, first, parking, checks, rows } = scene;
  const next = await made(join(dir, "world-1.0.0"), "1.0.0", { ...first.table, strength: first.table.strength + 1 });
  await challenge(scene, next);
  await seen(scene, "devices that apply it", () => parking.applied(next.digest).driving.length > 0);
  const found = parking.applied(next.digest).driving.length;
  checks.push({ name: "control: tables applied by devices that drive are found", holds: found > 0, found: `${found}` });
  rows.push(rowOf(scene, "control", next, "passed", "-"));
}

/** Trained from the fleet's own frames: every device gets it. */
async function goodTable(scene: Scene): Promise<WorldPackage> {
  const { dir, stack, first, reported, parking, log, signal } = scene;
  await systemClock.sleep(settings.beforeMs, signal);
  const target = join(dir, "world-1.0.0");
  await tributary(stack, "world", "train", target, "--from", first.dir, "--version", "1.0.0", "--days", "1");
  const good = await loadWorld(target);
  log(`trained ${MODEL} 1.0.0: ${JSON.stringify(good.manifest.metrics)}`);
  await challenge(scene, good);
  const canary = await staged(scene, good, canaries);
  await parking.park(canary, true);
  await seen(scene, "the canary to apply it", () => reported.on(good.digest).length === canary.length);
  await parking.park(canary, false);
  const widened = (rollout: RolloutDetail) => rollout.weight === 100 || isOver(rollout);
  const after = await rolloutUntil(scene, good, "the canary's analysis", widened);
  if (!isOver(after)) {
    const rest = everyone.filter((deviceId) => !canary.includes(deviceId));
    await staged(scene, good, rest.length);
    await parking.park(everyone, true);
  }
  const rollout = await rolloutUntil(scene, good, "every device", isOver);
  await parking.park(everyone, false);
  await ended(scene, "good", good, rollout, rollout.phase === "Healthy", "promoted");
  scene.checks.push(onAllOf(scene, "good: every device reports it", good));
  return good;
}

/** Same form, wrong counts: the gate cannot see it, devices do. */
async function poisonedTable(scene: Scene, good: WorldPackage): Promise<void> {
  const { dir, reported, parking } = scene;
  await championIs(scene, good);
  const bad = await made(join(dir, "world-1.1.0"), "1.1.0", poisoned(good.table));
  await challenge(scene, bad);
  const canary = await staged(scene, bad, canaries);
  await parking.park(canary, true);
  await seen(scene, "the canary to try it", () => parking.applied(bad.digest).parked.length > 0);
  const rollout = await rolloutUntil(scene, bad, "its rollback", isOver);
  await parking.park(canary, false);
  await ended(scene, "poisoned", bad, rollout, rollout.phase === "Degraded" && rollout.isBack, "rolled back");
  const ever = reported.everOn.get(bad.digest)?.size ?? 0;
  const reverted = reported.everReported(bad.digest, WORSE).length;
  scene.checks.push(
    {
      name: `poisoned: at most the canary of ${canaries} ever ran it`,
      holds: ever <= canaries,
      found: `${ever} devices`,
    },
    { name: "poisoned: devices reverted it by themselves", holds: reverted > 0, found: `${reverted} with ${WORSE}` },
    {
      name: "poisoned: no device reports it at the end",
      holds: reported.on(bad.digest).length === 0,
      found: `${reported.on(bad.digest).length} of ${everyone.length}`,
    },
    onAllOf(scene, "poisoned: every device reports the one before it", good),
  );
}

/** Of other classes: no rollout starts. */
async function foreignTable(scene: Scene, good: WorldPackage): Promise<void> {
  const { dir, api, log, signal, rows, checks } = scene;
  const foreign = await made(join(dir, "world-2.0.0"), "2.0.0", otherClasses(good.table));
  await challenge(scene, foreign);
  const gate = await waitFor(async () => (await api.models.version({ name: MODEL, version: "2.0.0" })).gate, {
    what: "the gate",
    timeoutMs: settings.stepMsMax,
    everyMs: POLL_MS,
    signal,
  });
  await systemClock.sleep(NOTHING_MS, signal);
  const rollout = (await api.rollouts.list()).items.find(({ model }) => model.digest === foreign.digest);
  log(`gate: ${gate.failed.join("; ")}`);
  checks.push({
    name: "other classes: the gate fails, and no rollout starts",
    holds: !gate.passed && rollout === undefined,
    found: gate.failed.join("; ") || "passed",
  });
  rows.push(rowOf(scene, "other classes", foreign, "failed", "no rollout"));
}

/** But for those that reverted it by chance. */
function onAllOf({ reported }: Scene, name: string, { digest }: WorldPackage): Check {
  const { byChanceMax } = settings;
  const on = reported.on(digest).length;
  const holds = on >= everyone.length - byChanceMax;
  return { name: `${name}, or all but ${byChanceMax}`, holds, found: `${on} of ${everyone.length}` };
}

const canaries = Math.ceil((settings.devices * settings.canaryPercent) / 100);

/** Waits until so many devices have it and wait to be parked; then that it is applied on none while they drive. Returns them. */
async function staged(scene: Scene, { digest, manifest }: WorldPackage, count: number): Promise<readonly string[]> {
  const { reported, log, signal, checks } = scene;
  const before = reported.on(digest).length;
  const waiting = () =>
    [...reported.devices].filter(([, { code }]) => code === "condition-parked").map(([deviceId]) => deviceId);
  await seen(scene, `${count} devices that wait to be parked`, () => waiting().length >= count);
  log(
    `${manifest.version} is staged on ${waiting().length} devices, which drive on for ${settings.drivesMs / 1_000} s`,
  );
  await systemClock.sleep(settings.drivesMs, signal);
  const more = reported.on(digest).length - before;
  checks.push({
    name: `${manifest.version}: staged on ${count} devices that drive, applied on none of them`,
    holds: more === 0,
    found: `${more} in ${settings.drivesMs / 1_000} s`,
  });
  return waiting();
}

async function ended(
  scene: Scene,
  table: string,
  pkg: WorldPackage,
  rollout: RolloutDetail,
  holds: boolean,
  expected: string,
): Promise<void> {
  const { stack, parking, checks, rows, statuses } = scene;
  // Reports and frames of the last devices are in flight.
  await systemClock.sleep(3_000);
  const { driving, parked } = parking.applied(pkg.digest);
  const state = `${rollout.phase}: ${rollout.message}`;
  checks.push(
    { name: `${table}: it is ${expected}`, holds, found: state },
    {
      name: `${table}: each device's first frame with it was taken while that was parked`,
      holds: driving.length === 0 && parked.length > 0,
      found: `${parked.length} parked, ${driving.length} driving${driving.length > 0 ? `: ${driving.join(" ")}` : ""}`,
    },
  );
  rows.push(rowOf(scene, table, pkg, "passed", rollout.phase));
  statuses.push(await tributary(stack, "rollout", "status", rollout.uid).catch(reasonOf));
}

function rowOf({ reported, parking }: Scene, table: string, { digest }: WorldPackage, gate: string, end: string): Row {
  const { parked, driving } = parking.applied(digest);
  return {
    table,
    gate,
    ended: end,
    ran: reported.everOn.get(digest)?.size ?? 0,
    parked: parked.length,
    driving: driving.length,
    frames: parking.frames.get(digest) ?? 0,
    reverted: reported.everReported(digest, WORSE).length,
    devices: `${reported.on(digest).length} of ${everyone.length}`,
  };
}

const isOver = ({ phase, isBack, abandoned }: RolloutDetail): boolean =>
  phase === "Healthy" || phase === "Paused" || (phase === "Degraded" && (isBack || abandoned !== null));

/** Once `holds`; logs what changes until then. */
async function rolloutUntil(
  { api, log, signal }: Scene,
  { digest }: WorldPackage,
  what: string,
  holds: (rollout: RolloutDetail) => boolean,
): Promise<RolloutDetail> {
  let logged = "";
  return waitFor(
    async () => {
      const view = (await api.rollouts.list()).items.find(({ model }) => model.digest === digest);
      if (view === undefined) return false;
      const rollout = await api.rollouts.one({ uid: view.uid });
      const { phase, weight, updated, reached, analysis, message } = rollout;
      const turn = `${phase} ${weight} %, analysis ${analysis}`;
      if (turn !== logged) log(`${turn}: ${updated} of ${reached} updated; ${message}`);
      logged = turn;
      return holds(rollout) && rollout;
    },
    { what, timeoutMs: settings.stepMsMax, everyMs: POLL_MS, signal },
  );
}

const seen = ({ signal }: Scene, what: string, holds: () => boolean): Promise<unknown> =>
  waitFor(holds, { what, timeoutMs: settings.stepMsMax, everyMs: POLL_MS, signal });

/** rollout-manager makes it champion. */
const championIs = ({ api, signal }: Scene, { manifest }: WorldPackage): Promise<unknown> =>
  waitFor(
    async () => (await api.models.version({ name: MODEL, version: manifest.version })).aliases.includes("champion"),
    { what: "the new champion", timeoutMs: settings.stepMsMax, everyMs: POLL_MS, signal },
  );

async function challenge(scene: Scene, pkg: WorldPackage): Promise<void> {
  await push(scene, pkg);
  const { version } = pkg.manifest;
  await scene.api.models.alias({ name: MODEL, alias: "challenger", body: { version, by: "demo" } });
  scene.log(`${MODEL} ${version} is challenger`);
}

const push = ({ stack }: Scene, { dir }: WorldPackage): Promise<string> =>
  tributary(stack, "models", "push", dir, "--by", "demo");

async function made(dir: string, version: string, table: WorldPackage["table"]): Promise<WorldPackage> {
  await writeWorld(dir, { name: MODEL, version, hardwareClass: "generic", metrics: {}, lineage: {}, table });
  return loadWorld(dir);
}
