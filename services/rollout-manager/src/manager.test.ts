/** A manager that reads on a Kafka in memory what happened while it was stopped: which past events it acts on (M3). */
import { expect, test } from "@jest/globals";
import { DeviceDesired, topics } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { eventOfRecord, type RolloutChange, recordOfEvent } from "@tributary/rollouts";
import { createTelemetry } from "@tributary/telemetry";
import { MemoryKafka, someModel, somePrediction, somePredictions, someReported, waitFor } from "@tributary/testing";
import { configSchema } from "./config.ts";
import { specOf } from "./creation/spec-problems.ts";
import { Manager } from "./manager.ts";
import { digests, somePassedGate } from "./rollout-manager.test-kit.ts";

const MINUTE = 60_000;
const uid = "u";
const DEVICES = 160;
const CANARIES = 16;
const WINDOW_MINUTES = 2;
const FRAMES = 8;
/** In two of them a proposal would be made and written. (M6) */
const ROUNDS = 10;
/** How much sooner than a real one this manager looks again. */
const HASTE = 10;

type Scene = {
  /** Since the start of the analysis. */
  readonly minutes: number;
  readonly duration: string;
  readonly abortConfig?: object;
  /** Between the analysis and the rest. */
  readonly pause?: string;
  /** Minutes in which the canary is silent. */
  readonly isSilent?: (minute: number) => boolean;
  /** Minutes in which the canary is too slow. */
  readonly isSlow?: (minute: number) => boolean;
  /** Events in the log after the start of the analysis, by minute. */
  readonly more?: readonly (readonly [number, RolloutChange])[];
  /** Up to this minute the metrics can be read at first. */
  readonly heldAt: number;
};

const order = Array.from({ length: DEVICES }, (_, i) => `d${i}`);

async function restarted({ minutes, duration, abortConfig = {}, pause, isSilent, isSlow, more = [], heldAt }: Scene) {
  const kafka = new MemoryKafka();
  const t0 = Date.now() - minutes * MINUTE;
  const readable = { to: t0 + heldAt * MINUTE };
  const slices = kafka.client(async (_call, { record, signal }) => {
    while (record !== undefined && record.timestamp > readable.to && !signal?.aborted) await systemClock.sleep(5);
  });
  for (const [version, modelDigest] of Object.entries({ "1": digests.old, "2": digests.better })) {
    // The candidate declares an unlimited budget: it must not be used for the comparison.
    const latencyBudgetMs = modelDigest === digests.better ? 600_000 : 50;
    const model = someModel({ version, modelDigest, hardwareClass: "x64", gate: somePassedGate(), latencyBudgetMs });
    kafka.put(topics.models, `edge/${version}`, model, { timestamp: t0 });
  }
  const acceptedSchemas = DeviceDesired.versions.map(({ fingerprint }) => fingerprint);
  for (const [i, deviceId] of order.entries()) {
    const modelDigest = i < CANARIES ? digests.better : digests.old;
    const slots = { perception: { modelDigest, modelName: "edge", modelVersion: "1" } };
    const reported = someReported({ deviceId, generation: 2n, acceptedSchemas, slots });
    kafka.put(topics.reported, deviceId, reported, { timestamp: t0 });
  }
  const paused = pause === undefined ? [] : [{ pause: { duration: pause } }];
  const spec = specOf({
    apiVersion: "tributary.dev/v1",
    kind: "ModelRollout",
    metadata: { name: "edge" },
    spec: {
      model: "edge@2",
      metrics: [{ name: "deadline-met" }],
      abortConfig,
      strategy: { canary: { steps: [{ setWeight: 10 }, { analysis: { duration } }, ...paused, { setWeight: 100 }] } },
    },
  });
  const history: (readonly [number, RolloutChange])[] = [
    [-1, { kind: "created", spec, modelDigest: digests.better, stableDigest: digests.old, order }],
    [-1, { kind: "step-started", step: 0 }],
    [0, { kind: "step-finished", step: 0, evidence: {} }],
    [0, { kind: "step-started", step: 1 }],
    ...more,
  ];
  for (const [i, [minute, change]] of history.entries()) {
    const at = t0 + minute * MINUTE;
    const event = recordOfEvent({ uid, version: i + 1, at, by: "ann", change });
    kafka.put(topics.rolloutEvents, uid, event, { timestamp: at });
  }
  for (let minute = -60; minute < minutes; minute += WINDOW_MINUTES) {
    for (const [i, deviceId] of order.entries()) {
      const isCanary = i < CANARIES && minute >= 0;
      if (isCanary && isSilent?.(minute)) continue;
      const missed = isCanary && isSlow?.(minute) ? 3 : (i + minute) % 24 === 0 ? 1 : 0;
      const modelDigest = isCanary ? digests.better : digests.old;
      const predictions = Array.from({ length: FRAMES }, (_, frame) =>
        somePrediction({
          frameSeq: BigInt(FRAMES * (minute + 61) + frame),
          ageMs: (WINDOW_MINUTES * MINUTE) / 2,
          latencyMs: frame < missed ? 5_000 : 9,
        }),
      );
      const batch = somePredictions({ deviceId, seq: BigInt(minute + 61), modelDigest, predictions });
      kafka.put(topics.predictions, deviceId, batch, { timestamp: t0 + (minute + WINDOW_MINUTES) * MINUTE });
    }
  }
  const skipped = { ms: 0 };
  const wrong = { clock: false };
  let rounds = 0;
  const manager = new Manager({
    config: configSchema.parse({ judge: { preperiodHours: 1 } }),
    telemetry: createTelemetry({ service: "rollout-manager", level: "silent", defaultMetrics: false }),
    clock: {
      ...systemClock,
      monotonicMs: () => systemClock.monotonicMs() + skipped.ms,
      sleep: (ms, signal) => systemClock.sleep(ms / HASTE, signal),
    },
    // Each round asks once.
    isClockOff: () => {
      rounds++;
      return wrong.clock;
    },
    random: () => 0,
    sink: kafka,
    reader: kafka,
    slices,
  });
  await manager.onModuleInit();
  const isHeld = () => {
    const { aborted } = manager.controller.rollout(uid) ?? {};
    const { sinceMs = 0 } = manager.controller.evidence(uid) ?? {};
    return aborted != null || sinceMs >= (heldAt - 3) * MINUTE;
  };
  await waitFor(isHeld, { what: "the look before what cannot be read" });
  /** What was decided since the start. */
  const decided = () =>
    kafka
      .values(topics.rolloutEvents)
      .slice(history.length)
      .map((record) => {
        const { change } = eventOfRecord(record);
        return change.kind === "analysed" ? change.verdict : change.kind;
      });
  return {
    manager,
    why: () => manager.controller.evidence(uid)?.why,
    decidesNothing: async () => {
      const last = rounds + ROUNDS;
      await waitFor(() => rounds > last, { what: "some rounds" });
      expect(decided()).toEqual([]);
    },
    decides: async (...first: readonly string[]) => {
      await waitFor(() => decided().length >= first.length, { what: first.join() });
      expect(decided().slice(0, first.length)).toEqual(first);
    },
    revoke: () => {
      const model = someModel({ version: "2", modelDigest: digests.better, hardwareClass: "x64", state: "REVOKED" });
      kafka.put(topics.models, "edge/2", model);
    },
    setClock: (isWrong: boolean) => {
      wrong.clock = isWrong;
    },
    readAll: () => {
      readable.to = Number.POSITIVE_INFINITY;
    },
    /** Advances the time in which nothing can be read. */
    stand: (ms: number) => {
      skipped.ms += ms;
    },
  };
}

test("an instance whose clock is off against Kafka's decides nothing, whatever it reads, until it is set right (M7)", async () => {
  const scene = await restarted({ minutes: 120, duration: "60m", heldAt: 20 });
  scene.setClock(true);
  scene.readAll();
  await scene.decidesNothing();
  scene.revoke();
  await scene.decidesNothing();
  scene.setClock(false);
  await scene.decides("aborted");
  await scene.manager.beforeApplicationShutdown();
});

test("an analysis whose time is over does not end before its data are read", async () => {
  const abortConfig = { onInconclusive: "Abort", onNoData: "Abort" };
  const scene = await restarted({ minutes: 120, duration: "60m", abortConfig, heldAt: 20 });
  await scene.decidesNothing();
  scene.readAll();
  await scene.decides("Successful", "step-finished");
  await scene.manager.beforeApplicationShutdown();
});

test("a look of the past does not widen over a canary that is silent since, however long nothing more can be read", async () => {
  const scene = await restarted({
    minutes: 200,
    duration: "5h",
    isSilent: (minute) => minute >= 160,
    heldAt: 155,
    // Without any earlier look.
    more: [
      [2, { kind: "paused", reason: "person", untilMs: null, evidence: {} }],
      [199, { kind: "resumed", evidence: {} }],
    ],
  });
  expect(scene.why()).toBe("harm is below every margin");
  await scene.decidesNothing();
  scene.stand(60 * MINUTE);
  await scene.decidesNothing();
  scene.readAll();
  await waitFor(() => /^0 of 16 canary/.test(scene.why() ?? ""), { what: "the look of today" });
  await scene.decidesNothing();
  expect(scene.manager.controller.rollout(uid)?.weight).toBe(10);
  await scene.manager.beforeApplicationShutdown();
});

test("a silence of the past takes no canary back that is heard again", async () => {
  const scene = await restarted({
    minutes: 120,
    duration: "6h",
    isSilent: (minute) => minute >= 1 && minute < 40,
    heldAt: 30,
    abortConfig: { onNoData: "Abort" },
  });
  expect(scene.why()).toMatch(/^0 of 16 canary/);
  await scene.decidesNothing();
  scene.readAll();
  await scene.decides("Successful", "step-finished");
  await scene.manager.beforeApplicationShutdown();
});

test("an analysis ends with the metrics so far if nothing more can be read for too long; that never widens", async () => {
  const scene = await restarted({ minutes: 120, duration: "60m", heldAt: 8 });
  await scene.decidesNothing();
  scene.stand(11 * MINUTE);
  await scene.decides("Inconclusive", "paused");
  await scene.manager.beforeApplicationShutdown();
});

test("an analysis that succeeded long ago widens nothing before later metrics are read", async () => {
  const scene = await restarted({
    minutes: 120,
    duration: "60m",
    heldAt: 65,
    more: [[60, { kind: "analysed", step: 1, verdict: "Successful", evidence: {} }]],
  });
  await scene.decidesNothing();
  scene.readAll();
  await scene.decides("step-finished");
  await scene.manager.beforeApplicationShutdown();
});

test("a pause that is over ends only when later metrics are read: harm comes first", async () => {
  const scene = await restarted({
    minutes: 120,
    duration: "60m",
    pause: "10m",
    isSlow: (minute) => minute >= 70,
    heldAt: 65,
    more: [
      [60, { kind: "analysed", step: 1, verdict: "Successful", evidence: {} }],
      [60, { kind: "step-finished", step: 1, evidence: {} }],
      [60, { kind: "step-started", step: 2 }],
      [60, { kind: "paused", reason: "step", untilMs: Date.now() - MINUTE, evidence: {} }],
    ],
  });
  await scene.decidesNothing();
  scene.readAll();
  await scene.decides("Failed", "aborted");
  await scene.manager.beforeApplicationShutdown();
});

test("a model that is revoked meanwhile is rolled back, however well its canary does", async () => {
  const scene = await restarted({ minutes: 120, duration: "6h", heldAt: 20 });
  await scene.decidesNothing();
  scene.revoke();
  await scene.decides("aborted");
  // The decision is in the log before the manager has read it back.
  const aborted = await waitFor(() => scene.manager.controller.rollout(uid)?.aborted, { what: "its own decision" });
  expect(aborted.why).toBe("edge@2 was revoked");
  await scene.manager.beforeApplicationShutdown();
});

test("harm of the past is rolled back at once", async () => {
  const scene = await restarted({ minutes: 120, duration: "6h", isSlow: () => true, heldAt: 60 });
  await scene.decides("Failed", "aborted");
  await scene.manager.beforeApplicationShutdown();
});
