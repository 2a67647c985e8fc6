/**
 * Three experiments on one fleet at the same time, while the cloud is farther away than before: does the SLA still allow it, and what if
 * late answers cost nothing?
 *
 * Photos, labels, models, messages and every service are real; the model server is a stub of KServe v2, and the longer network is a proxy
 * before it. What is claimed is what a person sees: experiments and rollouts as the gateway's API shows them.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ExperimentDetail,
  type GatewayClient,
  gatewayClient,
  type Policy,
  type RolloutDetail,
} from "@tributary/api";
import { systemClock } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";
import { type ExperimentEvidence, experimentEvidenceOf } from "@tributary/rollouts/experiment";
import { type Stack, tributary } from "@tributary/stack";
import { waitFor } from "@tributary/testing";
import type { Check } from "../rollout/run-case.ts";
import { type Case, cases, fleet, specificationOf } from "./cases.ts";
import { checksOf } from "./findings.ts";
import { type Measured, measure } from "./measure.ts";
import { settings } from "./settings.ts";
import { type Cloud, type ExperimentOptions, type Running, start, startCloud } from "./start.ts";

const POLL_MS = 1_000;
/** Between two lines about what is still undecided. */
const LOG_EVERY_MS = 30_000;
/** An experiment that is undecided ends by itself. */
const DECIDED_MS_MAX = settings.durationMs + 60_000;

export type Result = {
  readonly case: string;
  readonly phase: string;
  readonly verdict: string | null;
  readonly winner: string | null;
  readonly message: string;
  readonly rollout: string | null;
  /** From its creation to its end. */
  readonly seconds: number;
  readonly evidence: ExperimentEvidence | null;
  /** As `tributary experiment status` shows it. */
  readonly status: string;
  /** A page for people, and its record as JSON. */
  readonly files: readonly string[];
};

/** The rollout of the adopted policy; times since the verdict. */
export type AdoptedRollout = {
  readonly uid: string;
  readonly slot: string;
  readonly phase: string;
  readonly message: string;
  readonly canary: number;
  /** Devices that shall decide by it at the end, and those that do. */
  readonly reached: number;
  readonly updated: number;
  readonly canarySeconds: number | null;
  readonly endedSeconds: number | null;
};

export type ExperimentReport = {
  readonly passed: boolean;
  readonly seconds: number;
  readonly measured: Measured;
  readonly results: readonly Result[];
  readonly rollout: AdoptedRollout | null;
  readonly labels: { readonly seen: number; readonly labelled: number; readonly givenUp: number };
  readonly checks: readonly Check[];
};

export async function runExperiments(options: ExperimentOptions): Promise<ExperimentReport> {
  const startedMs = performance.now();
  const cloud = await startCloud();
  try {
    const running = await start(options, cloud);
    try {
      const found = await compared(options, running, cloud);
      const { seen, labelled, givenUp } = running.labeller;
      const checks = checksOf(found);
      const passed = checks.every(({ holds }) => holds);
      const seconds = Math.round((performance.now() - startedMs) / 1_000);
      return { passed, seconds, ...found, labels: { seen, labelled, givenUp }, checks };
    } finally {
      await running.stop();
    }
  } finally {
    await cloud.stop();
  }
}

type Scene = ExperimentOptions & { readonly stack: Stack; readonly api: GatewayClient };

async function compared(
  options: ExperimentOptions,
  running: Running,
  cloud: Cloud,
): Promise<Pick<ExperimentReport, "measured" | "results" | "rollout">> {
  const { stack, packageDir } = running;
  const scene: Scene = { ...options, stack, api: gatewayClient({ url: stack.gatewayUrl }) };
  const inForce = await ready(scene, packageDir);
  options.log(`${fleet.length} devices decide by policy ${inForce.policyVersion.slice(0, 12)}`);
  const measured = await measure(options, running, cloud, inForce.deadlineMs);
  const uids: string[] = [];
  for (const one of cases) uids.push(await begun(scene, one, inForce));
  const adopting = adopted(scene, uids[0] as string);
  const results: Result[] = [];
  const decided = Promise.all(cases.map(async (one, i) => results.push(await ended(scene, one, uids[i] as string))));
  await decided;
  const rollout = await adopting;
  const ordered = cases.flatMap(({ name }) => results.filter((result) => result.case === name));
  return { measured, results: ordered, rollout };
}

/** The registry knows the model, and every device reports it. */
async function ready({ stack, api, signal }: Scene, packageDir: string): Promise<Policy> {
  await tributary(stack, "models", "push", packageDir, "--by", "demo");
  const { digest } = await loadPackage(packageDir);
  const [policy] = await waitFor(
    async () => {
      const { items } = await api.policies.list();
      const { items: devices } = await api.devices.list({ limit: 1_000 });
      const own = items.filter(({ modelDigest }) => modelDigest === digest);
      return own.length > 0 && devices.length === fleet.length && own;
    },
    { what: `the policy in force, and ${fleet.length} devices`, everyMs: POLL_MS, signal },
  );
  return policy as Policy;
}

/** Returns its uid. */
async function begun({ api, log }: Scene, one: Case, inForce: Policy): Promise<string> {
  const { key: _, ...policy } = one.policyOf(inForce);
  const { modelDigest } = inForce;
  const { policyVersion } = await api.policies.push({ body: { policy, modelDigest, by: "demo" } });
  const spec = specificationOf(one, [inForce.policyVersion, policyVersion]);
  const { uid } = await waitFor(() => api.experiments.create({ body: { spec, by: "demo" } }), {
    what: `experiment ${one.name}`,
    everyMs: POLL_MS,
  });
  log(`${one.name}: ${one.arm} is policy ${policyVersion.slice(0, 12)}; experiment ${uid}`);
  return uid;
}

async function ended(scene: Scene, { name }: Case, uid: string): Promise<Result> {
  const { api, stack, log, signal, pagesDir } = scene;
  let loggedMs = performance.now();
  const over = await waitFor(
    async () => {
      const experiment = await api.experiments.one({ uid });
      if (experiment.phase !== "Running") return experiment;
      if (performance.now() - loggedMs < LOG_EVERY_MS) return false;
      loggedMs = performance.now();
      log(`${name}: ${lineOf(experiment)}`);
      return false;
    },
    { what: `the end of experiment ${name}`, timeoutMs: DECIDED_MS_MAX, everyMs: POLL_MS, signal },
  );
  const { phase, verdict, winner, message, rollout } = over;
  log(`${name}: ${phase}, ${[verdict, winner].filter((word) => word !== null).join(" ")}: ${message}`);
  mkdirSync(pagesDir, { recursive: true });
  const [page, record] = ["html", "json"].map((ending) => join(pagesDir, `experiment-${name}.${ending}`)) as [
    string,
    string,
  ];
  writeFileSync(page, await api.experiments.report({ uid }));
  writeFileSync(record, `${JSON.stringify(over, null, 2)}\n`);
  const status = await tributary(stack, "experiment", "status", uid);
  const seconds = Math.round((Date.parse(over.changedAt) - Date.parse(over.createdAt)) / 1_000);
  const evidence = experimentEvidenceOf(over.evidence);
  return { case: name, phase, verdict, winner, message, rollout, seconds, evidence, status, files: [page, record] };
}

/** What it saw at its last look. */
function lineOf({ evidence }: ExperimentDetail): string {
  const seen = experimentEvidenceOf(evidence);
  const [control, arm] = seen?.arms ?? [];
  if (seen === null || control === undefined || arm === undefined) return "no look yet";
  const { comparison } = arm;
  if (comparison === null) return seen.why;
  const { better, worse, same, lateWithin, lateBeyond } = comparison.logs;
  const logs = [
    ["better", better],
    ["worse", worse],
    ["same", same],
    ["late within", lateWithin],
    ["late beyond", lateBeyond],
  ] as const;
  const evidenceWords = logs.map(([name, log]) => `${name} ${log.toFixed(1)}`).join(", ");
  const rates = [control, arm].map(({ rates: { correct, late } }) => `${share(correct)} right ${share(late)} late`);
  return `${rates.join(" against ")}; ln e of ${seen.logNeeded.toFixed(1)}: ${evidenceWords}`;
}

const share = (rate: number | null): string => (rate === null ? "-" : `${(100 * rate).toFixed(1)} %`);

/** Follows the rollout of what an experiment adopts, while the others go on; null: it adopts nothing, or none starts. */
async function adopted(scene: Scene, uid: string): Promise<AdoptedRollout | null> {
  const { api, log, signal } = scene;
  const over = await waitFor(
    async () => {
      const experiment = await api.experiments.one({ uid });
      return experiment.phase !== "Running" && experiment;
    },
    { what: "a verdict", timeoutMs: DECIDED_MS_MAX, everyMs: POLL_MS, signal },
  );
  if (over.verdict !== "adopt") return null;
  const decidedMs = performance.now();
  const since = () => Math.round((performance.now() - decidedMs) / 1_000);
  let [canary, canarySeconds, endedSeconds, logged]: [number, number | null, number | null, string] = [
    0,
    null,
    null,
    "",
  ];
  let rollout: RolloutDetail | undefined;
  const isLate = () => {
    const ms = performance.now() - decidedMs;
    return ms > (canarySeconds === null ? settings.canaryMsMax : settings.adoptionMsMax);
  };
  while (endedSeconds === null && !isLate()) {
    await systemClock.sleep(POLL_MS, signal);
    rollout = await api.rollouts.one({ uid: `adopt-${uid}` }).catch(() => rollout);
    if (rollout === undefined) continue;
    const { phase, weight, analysis, reached, updated, message } = rollout;
    if (canarySeconds === null && reached > 0) {
      canary = reached;
      if (updated === reached) canarySeconds = since();
    }
    if (phase === "Healthy" || phase === "Degraded") endedSeconds = since();
    const turn = `${phase} ${weight} %, analysis ${analysis}, ${updated} of ${reached} devices`;
    if (turn !== logged) log(`adoption: ${turn}; ${message}`);
    logged = turn;
  }
  if (rollout === undefined) return null;
  const { slot, phase, message, reached, updated } = rollout;
  return { uid: rollout.uid, slot, phase, message, canary, reached, updated, canarySeconds, endedSeconds };
}
