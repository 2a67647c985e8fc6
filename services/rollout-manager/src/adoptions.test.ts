/** What a manager on a Kafka in memory makes of an experiment that was adopted while it was stopped. */
import { expect, test } from "@jest/globals";
import { DeviceDesired, policyKey, topics } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { eventOfRecord, type LogEvent, recordOfEvent } from "@tributary/rollouts";
import { EXPERIMENT_FORMAT, type ExperimentEvidence } from "@tributary/rollouts/experiment";
import { MemoryKafka, silentTelemetry, somePolicy, someReported, waitFor } from "@tributary/testing";
import { configSchema } from "./config.ts";
import { adoptionUidOf, experimentSpecOf } from "./creation/plan-experiment.ts";
import { specOf } from "./creation/spec-problems.ts";
import { Manager } from "./manager.ts";
import { digests } from "./rollout-manager.test-kit.ts";

const uid = "e";
const order = Array.from({ length: 40 }, (_, i) => `d${i}`);
const versions = { inForce: "a1".repeat(32), control: "b2".repeat(32), winner: "c3".repeat(32) };
/** A proposal is made in the one and written in the next. (manager.ts M6) */
const ROUNDS = 10;

const evidence = { format: EXPERIMENT_FORMAT } as ExperimentEvidence;
const spec = experimentSpecOf({
  apiVersion: "tributary.dev/v1",
  kind: "Experiment",
  metadata: { name: "edge-or-cloud" },
  spec: {
    arms: [
      { name: "control", policy: versions.control },
      { name: "winner", policy: versions.winner },
    ],
    utility: { correct: 1, escalated: 0, late: 1, currency: "EUR" },
    rope: 0.01,
  },
});
const rolloutSpec = specOf({
  apiVersion: "tributary.dev/v1",
  kind: "ModelRollout",
  metadata: { name: "edge" },
  spec: { model: "edge@2", strategy: { canary: { steps: [{ setWeight: 100 }] } } },
});

const adopted: readonly Pick<LogEvent, "uid" | "change">[] = [
  {
    uid,
    change: {
      kind: "experiment-created",
      spec,
      arms: [versions.control, versions.winner].map((policyVersion) => ({ policyVersion, devices: 20 })),
      order,
      modelDigest: digests.old,
      cloudTarget: "default",
      deadlineMs: 2_000,
    },
  },
  { uid, change: { kind: "experiment-decided", verdict: "adopt", winner: "winner", why: "", evidence } },
];
/** Whole: created, and completed. */
const rolloutOf = (name: string, modelDigest: string, stableDigest: string) =>
  [
    { uid: name, change: { kind: "created", spec: rolloutSpec, modelDigest, stableDigest, order } },
    { uid: name, change: { kind: "completed", evidence: {} } },
  ] as const;

async function started(history: readonly Pick<LogEvent, "uid" | "change">[], limits: object = {}) {
  const kafka = new MemoryKafka();
  const policyOf = (policyVersion: string) => somePolicy({ policyVersion, modelDigest: digests.old });
  kafka.put(topics.policies, policyKey(digests.old, "default"), policyOf(versions.inForce));
  for (const version of [versions.control, versions.winner])
    kafka.put(topics.policyVersions, version, policyOf(version));
  const acceptedSchemas = DeviceDesired.versions.map(({ fingerprint }) => fingerprint);
  const slots = { perception: { modelDigest: digests.old, modelName: "edge", modelVersion: "1" } };
  for (const deviceId of order)
    kafka.put(topics.reported, deviceId, someReported({ deviceId, acceptedSchemas, slots }));
  const seen = new Map<string, number>();
  for (const { uid, change } of history) {
    const version = (seen.get(uid) ?? 0) + 1;
    seen.set(uid, version);
    const event = { uid, version, at: Date.now(), by: "ann", change } as LogEvent;
    kafka.put(topics.rolloutEvents, uid, recordOfEvent(event));
  }
  let rounds = 0;
  const manager = new Manager({
    config: configSchema.parse({ judge: { preperiodHours: 1 }, limits }),
    telemetry: silentTelemetry(),
    clock: { ...systemClock, sleep: (ms, signal) => systemClock.sleep(ms / 10, signal) },
    // Each round asks once.
    isClockOff: () => {
      rounds += 1;
      return false;
    },
    random: () => 0,
    sink: kafka,
    reader: kafka,
    slices: kafka,
  });
  await manager.onModuleInit();
  const creations = () =>
    kafka
      .values(topics.rolloutEvents)
      .slice(history.length)
      .flatMap((record) => {
        const event = eventOfRecord(record);
        return event.change.kind === "created" ? event.uid : [];
      });
  const afterSomeRounds = () => waitFor(() => rounds > ROUNDS, { what: "some rounds" });
  return { kafka, manager, creations, afterSomeRounds };
}

test("the policy that was in force can be named before the rollout that may return to it is created (Q1)", async () => {
  const { kafka, manager, creations } = await started(adopted);
  await waitFor(() => creations().length > 0, { what: "the rollout" });
  expect(creations()).toEqual([adoptionUidOf({ uid })]);
  const order = kafka.written.map(({ topic, key }) => `${topic} ${key}`);
  const named = order.indexOf(`${topics.policyVersions.name} ${versions.inForce}`);
  expect(named).toBeGreaterThan(0);
  expect(named).toBeLessThan(order.indexOf(`${topics.rolloutEvents.name} ${adoptionUidOf({ uid })}`));
  await manager.beforeApplicationShutdown();
});

test("a rollout that is over and forgotten is not started again, whatever is in force since (P1)", async () => {
  const history = [
    ...adopted,
    ...rolloutOf(adoptionUidOf({ uid }), versions.winner, versions.inForce),
    ...rolloutOf("later", digests.better, digests.old),
  ];
  const { manager, creations, afterSomeRounds } = await started(history, { finishedMax: 1 });
  await afterSomeRounds();
  expect(manager.controller.rollouts.map((one) => one.uid)).toEqual(["later"]);
  expect(creations()).toEqual([]);
  await manager.beforeApplicationShutdown();
});
