/**
 * One case from its start to its evidence: a stack of its own, a champion on every device, a challenger in the registry;
 * everything after that is automatic.
 *
 * A case ends when the rollout is in the expected final state, or in any other final one, or at its time limit. Claims about
 * devices rest on the devices' own reports (watch.ts).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import {
  clientOf,
  type GatewayClient,
  gatewayClient,
  type ModelVersion,
  modelRegistryApi,
  type RolloutDetail,
  type RolloutEventView,
  type RolloutView,
} from "@tributary/api";
import { KafkaReader } from "@tributary/kafka";
import { reasonOf, systemClock } from "@tributary/kernel";
import { askLight, Labeller, type Stack, startStack, tributary } from "@tributary/stack";
import { waitFor } from "@tributary/testing";
import type { Candidate, Candidates } from "../candidates/candidates.ts";
import { type Photos, readPool } from "../photos.ts";
import { writeCameraFolder } from "./agent-camera.ts";
import type { Case, Ending } from "./cases.ts";
import { MODEL, managerConfig, registryConfig, settings } from "./settings.ts";
import { ReportedWatch } from "./watch.ts";

const POLL_MS = 500;
const CASE_MS_MAX = 6 * 60_000;
/** That nothing begins is seen after so long without anything. */
const NOTHING_MS = 15_000;
/** Between two lines about the same step. */
const LOG_EVERY_MS = 5_000;

export type Check = { readonly name: string; readonly holds: boolean; readonly found: string };

type GateView = NonNullable<ModelVersion["gate"]>;

export type CaseReport = {
  readonly case: string;
  readonly passed: boolean;
  readonly seconds: number;
  readonly champion: string;
  readonly challenger: string;
  readonly gate: GateView | null;
  readonly rollout: RolloutView | null;
  readonly evidence: unknown;
  readonly events: readonly RolloutEventView[];
  readonly checks: readonly Check[];
  readonly labels: { readonly seen: number; readonly labelled: number; readonly givenUp: number };
  /** The status tree, as `tributary rollout status` draws it. */
  readonly status: string;
  /** Pages for people. */
  readonly pages: readonly string[];
};

export type RunOptions = {
  readonly dir: string;
  readonly pagesDir: string;
  readonly devices: number;
  readonly photos: Photos;
  readonly candidates: Candidates;
  readonly cloudPackage: string;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

export async function runCase(one: Case, options: RunOptions): Promise<CaseReport> {
  const { candidates, log, signal } = options;
  const champion = await candidates.get(one.champion);
  const challenger = await candidates.get(one.challenger);
  const startedMs = performance.now();
  const poolDir = one.seesTwoClasses === true ? options.photos.twoClassPoolDir : options.photos.poolDir;
  const stack = await start(one, champion, poolDir, options);
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "demo" });
  const reported = new ReportedWatch(reader);
  const labeller = new Labeller({
    reader,
    gatewayUrl: stack.gatewayUrl,
    truths: new Map((await readPool(poolDir)).map(({ sha256, label }) => [sha256, label])),
    labelledBy: "demo",
    delayMs: settings.labelDelayMs,
    onTrouble: log,
  });
  try {
    await reported.start();
    await labeller.start();
    const api = gatewayClient({ url: stack.gatewayUrl });
    log(`${options.devices} devices run ${MODEL} ${champion.version}; champion in the registry`);
    await push(stack, champion);
    await alias(api, champion, "champion");
    await waitFor(() => reported.devices.size >= options.devices, {
      what: `${options.devices} devices to report`,
      signal,
    });
    const beforeMs = one.isForced ? settings.beforeMs : settings.beforeGateMs;
    log(`${beforeMs / 1_000} s of frames and labels before anything changes`);
    await systemClock.sleep(beforeMs, signal);
    await push(stack, challenger);
    if (one.isForced) {
      const body = { by: "demo", reason: "the demo tests the canary, not the gate" };
      await api.models.force({ name: MODEL, version: challenger.version, body });
    }
    await alias(api, challenger, "challenger");
    log(`${MODEL} ${challenger.version} is challenger${one.isForced ? ", forced past the gate" : ""}`);
    const deadlineMs = startedMs + CASE_MS_MAX;
    const watched = await watch(one, { stack, api, challenger, deadlineMs, log, signal });
    const { uid } = watched;
    const { gate } = await api.models.version({ name: MODEL, version: challenger.version });
    const events = uid === null ? [] : (await api.rollouts.events({ uid })).items;
    const rollout = uid === null ? null : await api.rollouts.one({ uid });
    // The devices' last reports are in flight.
    await systemClock.sleep(2_000, signal);
    const checks = [
      ...checksOf(one, { rollout, gate, champion, challenger, reported, devices: options.devices }),
      ...timeCheck(performance.now() - startedMs),
    ];
    const status = uid === null ? "" : await tributary(stack, "rollout", "status", uid).catch(reasonOf);
    const report: CaseReport = {
      case: one.name,
      passed: checks.every(({ holds }) => holds),
      seconds: Math.round((performance.now() - startedMs) / 1_000),
      champion: `${MODEL} ${champion.version} ${champion.digest}`,
      challenger: `${MODEL} ${challenger.version} ${challenger.digest}`,
      gate,
      rollout,
      events,
      checks,
      status,
      evidence: rollout?.evidence ?? null,
      labels: { seen: labeller.seen, labelled: labeller.labelled, givenUp: labeller.givenUp },
      pages: await pagesOf(one, uid, gate, api, stack, options.pagesDir),
    };
    return report;
  } finally {
    await labeller.stop();
    await reported.stop();
    await reader.close();
    await stack.stop();
  }
}

async function start(one: Case, champion: Candidate, poolDir: string, options: RunOptions): Promise<Stack> {
  const { dir, photos, devices, log, signal } = options;
  const agents = Math.min(settings.agents, devices);
  const folders = await Promise.all(
    Array.from({ length: agents }, (_, i) => writeCameraFolder(poolDir, join(dir, "cameras", `${i + 1}`), i + 1)),
  );
  return startStack({
    dir,
    fresh: true,
    supervised: true,
    packages: { edge: champion.dir, cloud: options.cloudPackage },
    rollouts: {
      registry: registryConfig(photos.validationDir, one.registrySpeedup ?? 1),
      manager: managerConfig(),
    },
    agents: {
      count: agents,
      cameras: (i) => [
        { id: "cam", kind: "folder", folder: folders[i], fps: settings.fps, loop: true, whenFull: "skip" },
      ],
      config: { windows: { lengthMs: settings.windowMs }, predictions: { batchWaitMs: settings.batchWaitMs } },
    },
    light: {
      devices: devices - agents,
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

async function push(stack: Stack, { dir }: Candidate): Promise<void> {
  await tributary(stack, "models", "push", dir, "--by", "demo");
}

const alias = (api: GatewayClient, { version }: Candidate, name: string) =>
  api.models.alias({ name: MODEL, alias: name, body: { version, by: "demo" } });

type Watching = {
  readonly stack: Stack;
  readonly api: GatewayClient;
  readonly challenger: Candidate;
  readonly deadlineMs: number;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

/** Logs what happens until the case is over. */
async function watch(
  one: Case,
  { stack, api, challenger, deadlineMs, log, signal }: Watching,
): Promise<{ uid: string | null }> {
  let [logged, turnLogged, loggedMs] = ["", "", 0];
  let isGateLogged = false;
  let isSilenced = false;
  let quietSinceMs: number | null = null;
  while (performance.now() < deadlineMs) {
    await systemClock.sleep(POLL_MS, signal);
    const { gate } = await api.models
      .version({ name: MODEL, version: challenger.version })
      .catch(() => ({ gate: null }));
    if (gate !== null && !isGateLogged) {
      isGateLogged = true;
      log(gate.passed ? "gate: passed" : `gate: ${gate.forcedBy ? "forced" : "failed"}: ${gate.failed.join("; ")}`);
    }
    const rollout = (await api.rollouts.list()).items.find(({ model }) => model.digest === challenger.digest);
    if (rollout === undefined) {
      if (gate === null || gate.passed || gate.forcedBy) continue;
      quietSinceMs ??= performance.now();
      if (performance.now() - quietSinceMs > NOTHING_MS) return { uid: null };
      continue;
    }
    const line = lineOf(rollout);
    const turn = `${rollout.phase} ${rollout.step} ${rollout.analysis} ${rollout.reached}`;
    if (line !== logged && (turn !== turnLogged || performance.now() - loggedMs > LOG_EVERY_MS)) {
      log(line);
      [logged, turnLogged, loggedMs] = [line, turn, performance.now()];
    }
    if (one.isSilenced && !isSilenced && rollout.analysis === "Running") {
      isSilenced = true;
      const { items } = await api.rollouts.devicesOf({ uid: rollout.uid, arm: "canary" });
      const canary = items.map(({ deviceId }) => deviceId);
      await silence(stack, canary);
      log(`cut off: ${canary.join(", ")}`);
    }
    if (isOver(rollout)) return { uid: rollout.uid };
  }
  const last = (await api.rollouts.list()).items.find(({ model }) => model.digest === challenger.digest);
  log("the time limit is reached");
  return { uid: last?.uid ?? null };
}

const isOver = ({ phase, isBack, abandoned }: RolloutView): boolean =>
  phase === "Healthy" || phase === "Paused" || (phase === "Degraded" && (isBack || abandoned !== null));

const lineOf = ({ phase, step, steps, weight, analysis, reached, updated, refused, message }: RolloutView): string =>
  `${phase} ${weight} % step ${Math.min(step + 1, steps)}/${steps}: ${updated} of ${reached} updated${refused > 0 ? `, ${refused} refused` : ""}; analysis ${analysis}; ${message}`;

/** As if a switch in front of these devices had failed. A full agent is switched off. */
async function silence(stack: Stack, deviceIds: readonly string[]): Promise<void> {
  await askLight(stack.light, "/v1/silence", deviceIds, {});
  for (const { deviceId, part } of stack.agents) {
    if (deviceIds.includes(deviceId)) await part.stop();
  }
}

type Found = {
  readonly rollout: RolloutDetail | null;
  readonly gate: GateView | null;
  readonly champion: Candidate;
  readonly challenger: Candidate;
  readonly reported: ReportedWatch;
  readonly devices: number;
};

function checksOf(one: Case, { rollout, gate, champion, challenger, reported, devices }: Found): readonly Check[] {
  const canaries = Math.ceil((devices * settings.canaryPercent) / 100);
  const [onChallenger, onChampion] = [reported.on(challenger.digest).length, reported.on(champion.digest).length];
  const ever = reported.everOn.get(challenger.digest)?.size ?? 0;
  const state = rollout === null ? "no rollout started" : `${rollout.phase}: ${rollout.message}`;
  const ends = (name: string, holds: boolean): Check => ({ name, holds, found: state });
  const blast: Check = {
    name: `at most the canary of ${canaries} ever ran it`,
    holds: ever <= canaries,
    found: `${ever} devices`,
  };
  const allOn = (what: string, count: number): Check => ({
    name: `all ${devices} devices report that they run ${what}`,
    holds: count === devices,
    found: `${count}`,
  });
  const ending: Readonly<Record<Ending, () => readonly Check[]>> = {
    promoted: () => [ends("it is promoted", rollout?.phase === "Healthy"), allOn("the challenger", onChallenger)],
    kept: () => [
      ends("it is not rolled back", rollout !== null && rollout.phase !== "Degraded"),
      ...(rollout?.phase === "Healthy" ? [allOn("the challenger", onChallenger)] : [blast]),
    ],
    "stopped-at-gate": () => [
      {
        name: "the gate fails, and names the checks",
        holds: gate !== null && !gate.passed && gate.failed.length > 0,
        found: gate?.failed.join("; ") ?? "no gate",
      },
      ends("no rollout starts", rollout === null),
      allOn("the champion", onChampion),
    ],
    "rolled-back": () => [
      ends("it is rolled back", rollout?.phase === "Degraded" && rollout.isBack),
      blast,
      allOn("the champion", onChampion),
    ],
    paused: () => [ends("it is paused for a person", rollout?.phase === "Paused"), blast],
  };
  return ending[one.ending]();
}

const timeCheck = (ms: number): readonly Check[] => [
  {
    name: `it takes at most ${CASE_MS_MAX / 60_000} minutes`,
    holds: ms <= CASE_MS_MAX,
    found: `${Math.round(ms / 1_000)} s`,
  },
];

async function pagesOf(
  one: Case,
  uid: string | null,
  gate: GateView | null,
  api: GatewayClient,
  stack: Stack,
  dir: string,
): Promise<readonly string[]> {
  mkdirSync(dir, { recursive: true });
  const pages: string[] = [];
  const keep = (name: string, page: string | Uint8Array) => {
    const path = join(dir, `${one.name}.${name}.html`);
    writeFileSync(path, page);
    pages.push(path);
  };
  if (uid !== null) keep("rollout", await api.rollouts.report({ uid }));
  if (gate !== null && gate.pageDigest !== "") {
    const { blobs } = clientOf(modelRegistryApi, { url: stack.registryUrl ?? "" });
    const page = await text(blobs.get({ digest: gate.pageDigest })).catch(() => null);
    if (page !== null) keep("gate", page);
  }
  return pages;
}
