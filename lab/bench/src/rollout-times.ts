/** `bench rollout-times`: the time from a rollout's creation to a running canary, and from a bad metric to the last rollback.
 *
 * Every moment is taken from Kafka as it arrives there: a device's own report, a metrics event, a valid event of the log. All
 * processes share one clock. Only the devices' latency is simulated: from a moment on, frames of the new model take longer
 * than its latency budget, and the devices report that in their metrics. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type GatewayClient, gatewayClient } from "@tributary/api";
import { type EdgeMetrics, type RolloutChangeKind, topics } from "@tributary/contracts";
import { type Candidate, Candidates, preparePhotos, ReportedWatch } from "@tributary/demo";
import { type Following, follow, followAll, KafkaReader } from "@tributary/kafka";
import { Failure, systemClock } from "@tributary/kernel";
import { cloudPackage, edgePackage, runDir, type Stack, startStack, tributary } from "@tributary/stack";
import { followContext, waitFor } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport, Gate } from "./bench.ts";

const DEVICES = 300;
const PROCESSES = 4;
const MODEL = "edge-bench";
const WEIGHTS = [5, 50] as const;
const BACK_MS_MAX = 60_000;
const ROUND_MS_MAX = 180_000;
const POLL_MS = 50;
const LATENCY_BUDGET_MS = 100;
const SLOWED_MS = 2 * LATENCY_BUDGET_MS;
/** Of good frames, once the arms are compared. */
const BEFORE_FAULT_MS = 10_000;

const settings = {
  fps: 0.5,
  batchWaitMs: 2_000,
  windowMs: 5_000,
  lookEveryMs: 5_000,
  settleMs: 2_500,
  burnInMs: 15_000,
  shadowFrames: 4,
  probationFrames: 6,
} as const;

const differences: readonly (readonly [string, string, string, string])[] = [
  ["frames a second and device", "10 (npm start)", `${settings.fps}`, `${DEVICES} devices share this machine's cores`],
  [
    "windows of device metrics",
    "60 s",
    `${settings.windowMs / 1_000} s`,
    "a bad metric is reported this soon at the latest",
  ],
  ["a look every", "60 s", `${settings.lookEveryMs / 1_000} s`, "more frequent looks cause no false alarms"],
  ["delay of a look for late records", "5 s", `${settings.settleMs / 1_000} s`, "all processes share one machine"],
  [
    "burn-in",
    "3 min",
    `${settings.burnInMs / 1_000} s`,
    "ends before the metric turns bad, and only lengthens the bench",
  ],
  [
    "frames in shadow, and in probation",
    "20 and 50",
    `${settings.shadowFrames} and ${settings.probationFrames}`,
    "at so few frames per second they would take minutes",
  ],
];

export const rolloutTimes: Bench = {
  name: "rollout-times",
  summary: `${DEVICES} devices over the real bridge: from create to canary running, and from a bad metric to the last rollback`,
  details: `Real Kafka, bridge, registry, rollout-manager and gateway; ${DEVICES} light devices in ${PROCESSES} processes, which speak the
device's whole contract over MQTT, fetch and verify the model, and infer on real photos.
A rollout is created by \`tributary rollout create\` at a weight of ${WEIGHTS.join(" % and of ")} %. Once its devices run the model and are
compared, the model begins to miss its latency budget on all of them, and nobody touches anything.
Gate: from the first metrics event that shows it to the report of the last device that is back at most ${BACK_MS_MAX / 1_000} s, in every round.
With --long five rounds at each weight instead of one.`,
  run,
};

type Round = {
  readonly weight: number;
  readonly devices: number;
  /** ms from `create` to the event that it is created, the first device of the canary with the model, and the last. */
  readonly created: number;
  readonly first: number;
  readonly running: number;
  /** ms from the first metrics event that shows it to the event that rolls the model back, and to the last device. */
  readonly decided: number;
  readonly back: number;
  /** ms from when frames became slow to that first metrics event. */
  readonly detected: number;
};

async function run({ isLong, progress }: BenchOptions): Promise<BenchReport> {
  const dir = mkdtempSync(join(tmpdir(), "tributary-rollout-times-"));
  const kept = join(dirname(runDir), "bench");
  mkdirSync(kept, { recursive: true });
  progress("photos and models");
  const photos = await preparePhotos(join(kept, "photos"));
  const candidates = new Candidates(
    join(kept, "models"),
    photos,
    { model: MODEL, sampling: 0.05, latencyBudgetMs: LATENCY_BUDGET_MS },
    { edge: edgePackage, cloud: cloudPackage },
    progress,
  );
  const [champion, challenger] = [await candidates.get("shipped"), await candidates.get("shipped-again")];
  try {
    const stack = await startStack({
      dir,
      supervised: true,
      packages: { edge: champion.dir, cloud: champion.dir },
      light: {
        devices: DEVICES,
        processes: PROCESSES,
        fps: settings.fps,
        photos: photos.poolDir,
        batchWaitMs: settings.batchWaitMs,
        windowMs: settings.windowMs,
      },
      rollouts: {
        registry: { checks: { hardwareClasses: { x64: 1 } } },
        manager: {
          judge: { lookEveryMs: settings.lookEveryMs, settleMs: settings.settleMs },
          updates: { shadowFrames: settings.shadowFrames, probationFrames: settings.probationFrames },
        },
      },
      onStep: (step) => progress(`starting ${step}`),
      onEvent: progress,
    });
    try {
      return reportOf(await roundsOf(stack, { champion, challenger, dir, isLong, progress }));
    } finally {
      await stack.stop();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

type Setting = {
  readonly champion: Candidate;
  readonly challenger: Candidate;
  readonly dir: string;
  readonly isLong: boolean;
  readonly progress: (line: string) => void;
};

async function roundsOf(stack: Stack, setting: Setting): Promise<readonly Round[]> {
  const { champion, challenger, isLong, progress } = setting;
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: "bench" });
  const reported = new ReportedWatch(reader);
  const moments = new Moments(reader, challenger.digest);
  try {
    await reported.start();
    await moments.start();
    const api = gatewayClient({ url: stack.gatewayUrl });
    for (const { dir, version } of [champion, challenger]) {
      await tributary(stack, "models", "push", dir, "--by", "bench");
      const body = { by: "bench", reason: "speed is measured, not the model" };
      await api.models.force({ name: MODEL, version, body });
    }
    await api.models.alias({ name: MODEL, alias: "champion", body: { version: champion.version, by: "bench" } });
    await until(`${DEVICES} devices infer`, () => reported.on(champion.digest).length === DEVICES);
    const rounds: Round[] = [];
    for (let i = 0; i < (isLong ? 5 : 1); i++) {
      for (const weight of WEIGHTS)
        rounds.push(await round(stack, setting, { api, reported, moments, weight, number: i }));
    }
    progress(`${rounds.length} rounds`);
    return rounds;
  } finally {
    await moments.stop();
    await reported.stop();
    await reader.close();
  }
}

type Followed = {
  readonly api: GatewayClient;
  readonly reported: ReportedWatch;
  readonly moments: Moments;
  readonly weight: number;
  readonly number: number;
};

async function round(stack: Stack, setting: Setting, followed: Followed): Promise<Round> {
  const { champion, challenger, dir, progress } = setting;
  const { api, reported, moments, weight, number } = followed;
  const name = `at-${weight}-${number + 1}`;
  const file = join(dir, `${name}.yaml`);
  writeFileSync(file, specification(name, challenger, weight)); // JSON is YAML.
  const canaries = Math.ceil((DEVICES * weight) / 100);
  const onNew = () => reported.on(challenger.digest).length;
  moments.forget();
  const createdAt = Date.now();
  await tributary(stack, "rollout", "create", "-f", file);
  await until(`${name}: a device infers with the model`, () => onNew() > 0);
  const first = Date.now() - createdAt;
  await until(`${name}: ${canaries} devices infer with the model`, () => onNew() === canaries);
  const running = Date.now() - createdAt;
  progress(`${name}: ${canaries} devices run it after ${seconds(running)} s`);
  await until(`${name}: the analysis starts`, () => moments.at("STEP_FINISHED") !== undefined);
  await systemClock.sleep(settings.burnInMs + BEFORE_FAULT_MS);
  moments.missedAt = undefined; // The round before may have published its last window late.
  const slowedAt = Date.now();
  await slow(stack, challenger.digest, SLOWED_MS);
  await until(`${name}: a metrics event shows it`, () => moments.missedAt !== undefined);
  await until(`${name}: it is rolled back`, () => moments.at("ABORTED") !== undefined);
  await until(
    `${name}: every device is rolled back`,
    () => onNew() === 0 && reported.on(champion.digest).length === DEVICES,
  );
  const backAt = Date.now();
  await until(`${name}: that counts`, () => moments.at("ROLLED_BACK") !== undefined);
  await slow(stack, challenger.digest, 0);
  const rollout = (await api.rollouts.list()).items.find((one) => one.name === name);
  const missedAt = moments.missedAt ?? 0;
  const back = backAt - missedAt;
  progress(`${name}: rolled back after ${seconds(back)} s; ${rollout?.phase}: ${rollout?.message}`);
  return {
    weight,
    devices: canaries,
    created: (moments.at("CREATED") ?? 0) - createdAt,
    first,
    running,
    detected: missedAt - slowedAt,
    decided: (moments.at("ABORTED") ?? 0) - missedAt,
    back,
  };
}

function specification(name: string, { version }: Candidate, weight: number): string {
  return JSON.stringify({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name },
    spec: {
      model: `${MODEL}@${version}`,
      strategy: {
        canary: {
          controlsPerCanary: weight < 20 ? 4 : 1,
          steps: [{ setWeight: weight }, { analysis: { duration: "10m" } }, { setWeight: 100 }],
        },
      },
      burnIn: `${settings.burnInMs / 1_000}s`,
    },
  });
}

/** On every device, so that every device with the model is slow. */
async function slow(stack: Stack, digest: string, ms: number): Promise<void> {
  const body = JSON.stringify({ digest, ms });
  for (const { part, url } of stack.light) {
    const response = await fetch(`${url}/v1/slow`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    if (!response.ok) throw new Failure("slow-refused", "give-up", `${part.name}: ${await response.text()}`);
  }
}

/** When the records that a round waits for arrived in Kafka. */
class Moments {
  readonly #reader: KafkaReader;
  readonly #digest: string;
  readonly #stopping = new AbortController();
  readonly #events = new Map<RolloutChangeKind, number>();
  #following: Following | undefined;
  /** The first metrics event since of a window in which every frame was over the budget. */
  missedAt: number | undefined;

  constructor(reader: KafkaReader, digest: string) {
    this.#reader = reader;
    this.#digest = digest;
  }

  async start(): Promise<void> {
    const context = followContext(this.#reader, this.#stopping.signal);
    this.#following = await followAll([
      follow(context, topics.metrics, (window) => window && this.#window(window)),
      follow(context, topics.rolloutEvents, (event) => {
        if (event !== null && !this.#events.has(event.kind)) this.#events.set(event.kind, Date.now());
      }),
    ]);
  }

  at(kind: RolloutChangeKind): number | undefined {
    return this.#events.get(kind);
  }

  forget(): void {
    this.#events.clear();
    this.missedAt = undefined;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following?.ended;
  }

  #window({ models }: EdgeMetrics): void {
    const missed = models.find(({ modelDigest }) => modelDigest === this.#digest)?.metrics.sla_missed;
    // On a busy machine a frame may be late for other reasons; a whole window is not.
    if (missed !== undefined && missed.n > 0 && missed.sum === Number(missed.n)) this.missedAt ??= Date.now();
  }
}

const until = (what: string, holds: () => boolean): Promise<true> =>
  waitFor(holds, { what, timeoutMs: ROUND_MS_MAX, everyMs: POLL_MS });

function reportOf(rounds: readonly Round[]): BenchReport {
  const worst = Math.max(...rounds.map(({ back }) => back));
  const gates: Gate[] = [
    {
      name: `from a bad metric to the last rollback at most ${BACK_MS_MAX / 1_000} s`,
      passed: worst <= BACK_MS_MAX,
      measured: `${seconds(worst)} s`,
    },
  ];
  return {
    tables: [
      {
        title: "Settings that differ from the defaults",
        columns: ["what", "usual", "here", "why"],
        rows: differences,
      },
      {
        title: `${DEVICES} devices, seconds from \`create\``,
        columns: ["weight %", "canary", "created", "first device runs it", "canary running"],
        rows: rounds.map(({ weight, devices, created, first, running }) => [
          weight,
          devices,
          ...[created, first, running].map(seconds),
        ]),
      },
      {
        title: "Seconds from the first metrics event with slow frames",
        columns: ["weight %", "canary", "event after", "rolled back", "last device rolled back"],
        rows: rounds.map(({ weight, devices, detected, decided, back }) => [
          weight,
          devices,
          ...[detected, decided, back].map(seconds),
        ]),
      },
    ],
    gates,
    figures: { devices: DEVICES, settings, rounds },
  };
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
