/**
 * Five things happen to one fleet at the same time: a clean past first, then all changes at once, then the verdicts.
 *
 * What is compared are the records of drift-monitor's public topic, every version of them: a verdict that opened wrongly and closed
 * again counts as wrong.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type GatewayClient, gatewayClient } from "@tributary/api";
import type { DriftVerdict } from "@tributary/contracts";
import { KafkaReader } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { Labeller, type Stack, startStack } from "@tributary/stack";
import { readPool } from "../photos.ts";
import type { Check } from "../rollout/run-case.ts";
import { expectedName, judge, nameOf } from "./judge.ts";
import { packageWithSample } from "./package.ts";
import { see } from "./see.ts";
import { settings } from "./settings.ts";
import { type Case, type Member, PIPELINE, type Prepared, type Story } from "./story.ts";
import { DriftWatch } from "./watch.ts";

const POLL_MS = 500;
const LOG_EVERY_MS = 10_000;
/** Its devices are alone in a process, which restarts with the other build. */
const BUILD_PROCESS = PIPELINE;

export type DriftOptions = {
  readonly dir: string;
  readonly pagesDir: string;
  readonly story: Story;
  readonly prepared: Prepared;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

export type Row = {
  readonly case: string;
  readonly expected: string;
  readonly seen: string;
  readonly devices: readonly string[];
  /** Seconds from the change to the verdict. */
  readonly afterSeconds: number | null;
  readonly loss: string;
  readonly isRetrain: boolean | null;
  readonly summary: string;
  readonly page: string | null;
};

export type DriftReport = {
  readonly task: string;
  readonly passed: boolean;
  readonly seconds: number;
  readonly rows: readonly Row[];
  readonly checks: readonly Check[];
  readonly labels: { readonly seen: number; readonly labelled: number; readonly givenUp: number };
};

export async function runDrift(options: DriftOptions): Promise<DriftReport> {
  const { dir, log, story, prepared } = options;
  const { task, fleet, cases } = story;
  const startedMs = performance.now();
  const stack = await start(options);
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "demo" });
  const watch = new DriftWatch(reader);
  const labeller = new Labeller({
    reader,
    gatewayUrl: stack.gatewayUrl,
    truths: new Map((await readPool(prepared.poolDir)).map(({ sha256, label }) => [sha256, label])),
    labelledBy: "demo",
    delayMs: settings.labelDelayMs,
    onTrouble: log,
  });
  try {
    watch.onVerdict = (verdict) => log(`drift-monitor: ${lineOf(verdict)}`);
    await watch.start();
    await labeller.start();
    await cleanPast(fleet, watch, options);
    const changedAt = Date.now();
    await change(story, stack, options);
    await verdictsOf(cases, watch, startedMs + settings.runMs, options);
    const judged = judge(cases, watch.history);
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    const checks = [...judged.checks, timeCheck(seconds)];
    const pages = await pagesOf(judged.verdicts, gatewayClient({ url: stack.gatewayUrl }), options);
    return {
      task,
      passed: checks.every(({ holds }) => holds),
      seconds,
      rows: cases.map((one) => rowOf(one, judged.verdicts.get(one.name), changedAt, pages.get(one.name) ?? null)),
      checks,
      labels: { seen: labeller.seen, labelled: labeller.labelled, givenUp: labeller.givenUp },
    };
  } finally {
    await labeller.stop();
    await watch.stop();
    await reader.close();
    await stack.stop();
    rmSync(join(dir, "package"), { recursive: true, force: true });
  }
}

async function start({ dir, story, prepared, log, signal }: DriftOptions): Promise<Stack> {
  const { edge, cloud } = prepared.packages;
  const packageDir = join(dir, "package");
  rmSync(packageDir, { recursive: true, force: true });
  return startStack({
    dir,
    fresh: true,
    supervised: true,
    packages: { edge: await packageWithSample(packageDir, edge, settings.sampling), cloud },
    drift: {
      config: {
        detector: { baselineWindows: settings.baselineWindows },
        verdicts: { lookEveryMs: settings.lookEveryMs, settleMs: settings.settleMs, holdMs: settings.holdMs },
        loss: { propensityMin: settings.sampling },
      },
    },
    light: {
      devices: story.fleet.map(({ deviceId, site, labels, scene, fps, case: name }) => ({
        deviceId,
        site,
        labels,
        fps,
        scene,
        ...(name === PIPELINE && { process: BUILD_PROCESS }),
      })),
      processes: settings.lightProcesses,
      fps: settings.fps,
      photos: prepared.poolDir,
      batchWaitMs: settings.batchWaitMs,
      windowMs: settings.windowMs,
    },
    signal,
    onStep: (step) => log(`starting ${step}`),
    onEvent: log,
  });
}

/** Until every device has a baseline, and some windows more. */
async function cleanPast(fleet: readonly Member[], watch: DriftWatch, { log, signal }: DriftOptions): Promise<void> {
  const wanted = settings.baselineWindows + settings.cleanWindows;
  log(
    `${fleet.length} devices; nothing changes until each has sent ${wanted} windows of ${settings.windowMs / 1_000} s`,
  );
  for (let loggedMs = performance.now(); ; await systemClock.sleep(POLL_MS, signal)) {
    const sent = fleet.map(({ deviceId }) => watch.windows.get(deviceId) ?? 0);
    const least = Math.min(...sent);
    if (least >= wanted) return;
    if (performance.now() - loggedMs < LOG_EVERY_MS) continue;
    loggedMs = performance.now();
    log(`clean past: ${least} to ${Math.max(...sent)} of ${wanted} windows`);
  }
}

/** All at the same time; what comes by steps does so meanwhile. */
async function change({ cases, build }: Story, stack: Stack, { log, signal }: DriftOptions): Promise<void> {
  for (const { name, summary, devices } of cases) log(`from now on: ${summary} (${name}: ${devices.join(", ")})`);
  const process = stack.light.find(({ name }) => name.endsWith(BUILD_PROCESS));
  await Promise.all([
    process?.install(build),
    ...cases.flatMap(({ name, devices, becomes = [] }) =>
      becomes.map(async (scene, i) => {
        await systemClock.sleep((i * settings.changeMs) / Math.max(1, becomes.length - 1), signal);
        await see(stack, devices, scene);
        if (becomes.length > 1) log(`${name}: ${scene.view}`);
      }),
    ),
  ]);
}

/** Until every case has its verdict, and a while longer, in which wrong ones would appear; or until there is no time left. */
async function verdictsOf(
  cases: readonly Case[],
  watch: DriftWatch,
  deadlineMs: number,
  { log, signal }: DriftOptions,
): Promise<void> {
  let loggedMs = performance.now();
  for (let completeMs: number | null = null; ; await systemClock.sleep(POLL_MS, signal)) {
    const nowMs = performance.now();
    const missing = judge(cases, watch.history).checks.filter(({ holds }) => !holds);
    if (missing.length > 0) completeMs = null;
    else completeMs ??= nowMs;
    if (completeMs !== null && nowMs - completeMs >= settings.watchMs) return;
    if (nowMs > deadlineMs - settings.watchMs) {
      log("the time limit is reached");
      return;
    }
    if (nowMs - loggedMs < LOG_EVERY_MS) continue;
    loggedMs = nowMs;
    log(
      missing.length > 0
        ? `waiting for ${missing.map(({ name, found }) => `${name.split(":")[0]} (${found})`).join("; ")}`
        : "all verdicts are right; wrong ones would appear now",
    );
  }
}

const lineOf = (verdict: DriftVerdict): string => {
  const { state, devices, closedBecause, summary } = verdict;
  const names = devices.map(({ deviceId }) => deviceId).join(", ");
  return `${state} ${nameOf(verdict)}: ${state === "CLOSED" ? closedBecause : `${summary} (${names})`}`;
};

function rowOf(one: Case, verdict: DriftVerdict | undefined, changedAt: number, page: string | null): Row {
  const { name, expected } = one;
  const loss = verdict?.loss;
  return {
    case: name,
    expected: expected === null ? "no verdict" : expectedName(expected),
    seen: verdict === undefined ? "no verdict" : nameOf(verdict),
    devices: verdict?.devices.map(({ deviceId }) => deviceId) ?? [],
    afterSeconds: verdict === undefined ? null : Math.round((verdict.openedAt - changedAt) / 1_000),
    loss: loss === undefined ? "" : `${loss.state}, ${loss.draws} draws`,
    isRetrain: verdict?.retrain ?? null,
    summary: verdict?.summary ?? "",
    page,
  };
}

const timeCheck = (seconds: number): Check => ({
  name: `it takes less than ${settings.runMs / 60_000} minutes`,
  holds: seconds * 1_000 < settings.runMs,
  found: `${seconds} s`,
});

/** By case: the file with its verdict's page, as the gateway shows it. */
async function pagesOf(
  verdicts: ReadonlyMap<string, DriftVerdict>,
  api: GatewayClient,
  { pagesDir, story }: DriftOptions,
): Promise<ReadonlyMap<string, string>> {
  mkdirSync(pagesDir, { recursive: true });
  const pages = new Map<string, string>();
  for (const [name, { verdictId }] of verdicts) {
    const path = join(pagesDir, `drift.${story.task}.${name}.html`);
    writeFileSync(path, await api.drift.report({ verdictId }));
    pages.set(name, path);
  }
  return pages;
}
