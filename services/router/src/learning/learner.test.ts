/** When the learner does not publish: an experiment, another leader, an unavailable Kafka. */
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import { CloudResult, EdgePredictions, type Experiment, GroundTruth, type Rollout, topics } from "@tributary/contracts";
import { type Clock, Failure, seededRandom } from "@tributary/kernel";
import { relearn, relearnDefaults } from "@tributary/routing";
import { createTelemetry } from "@tributary/telemetry";
import {
  MemoryKafka,
  someBootId,
  someExperiment,
  somePolicy,
  somePrediction,
  somePredictions,
  someResult,
  someRollout,
} from "@tributary/testing";
import { Learner } from "./learner.ts";

const NOW = 1_700_000_000_000;
/** It promises 1 %; keeping every frame loses far more. */
const policy = somePolicy({
  scoreMin: 1,
  escalationShareMax: 0.9,
  samplePropensityMin: 0.1,
  guarantee: { method: "LEARN_THEN_TEST", epsilon: 0.01, delta: 0.05, n: 1_000, losses: 2, escalationShare: 0.1 },
});

function started({
  rollout,
  experiment,
  ...change
}: {
  readonly runsExperiment?: boolean;
  readonly rollout?: Rollout;
  readonly experiment?: Experiment;
  readonly isLeader?: () => boolean;
  readonly isUnavailable?: boolean;
}) {
  const log = new MemoryKafka({ now: () => NOW });
  const kafka = { isUnavailable: change.isUnavailable ?? false };
  log.before = (call) => {
    if (call === "partitions" && kafka.isUnavailable) throw new Failure("kafka-unavailable", "retry", "nobody answers");
  };
  log.put(topics.policies, `${policy.modelDigest}|default`, policy);
  if (rollout !== undefined) log.put(topics.rollouts, rollout.uid, rollout);
  if (experiment !== undefined) log.put(topics.experiments, experiment.uid, experiment);
  const random = seededRandom(1);
  const predictions = Array.from({ length: 400 }, (_, i) =>
    somePrediction({ frameSeq: BigInt(i + 1), margin: random(), samplePropensity: 0.1, sampleDrawn: true }),
  );
  log.put(topics.predictions, "device-1", somePredictions({ predictions }) satisfies EdgePredictions);
  for (const { frameSeq } of predictions) {
    const label = random() < 0.7 ? "cat" : "dog";
    const name = { deviceId: "device-1", bootId: someBootId, cameraId: "cam", frameSeq };
    log.put(topics.results, "device-1", someResult({ ...name, label }) satisfies CloudResult);
    const rest = {
      source: "PERSON",
      labelledBy: "",
      labelledAt: NOW,
      labelSet: null,
      comment: null,
      frameAt: null,
    } as const;
    log.put(topics.groundTruth, "device-1", { ...name, label, ...rest } satisfies GroundTruth);
  }
  const events: Record<string, unknown>[] = [];
  const telemetry = createTelemetry({
    service: "test",
    defaultMetrics: false,
    write: (line) => void events.push(JSON.parse(line)),
  });
  let rounds = 0;
  const clock: Clock = {
    now: () => NOW,
    monotonicMs: () => rounds * 1_000,
    sleep: async () => {
      rounds++;
      await setImmediate();
    },
  };
  const learner = new Learner({
    reader: log,
    sink: log,
    clock,
    telemetry,
    target: "default",
    settings: relearnDefaults,
    relearn: async ({ standing, evidence, settings }) => relearn(standing, evidence, settings),
    everyMs: 1_000,
    windowMs: 86_400_000,
    runsExperiment: false,
    isLeader: () => true,
    ...change,
  });
  learner.onApplicationBootstrap();
  const until = async (done: () => boolean) => {
    for (let turn = 0; turn < 100_000 && !done(); turn++) await setImmediate();
  };
  const emitted = (event: string) => events.filter((line) => line.event === event);
  const published = () => log.values(topics.policies).map(({ scoreMin }) => scoreMin);
  return { log, kafka, learner, until, emitted, published, rounds: () => rounds };
}

describe("the learner", () => {
  test("publishes what the labels prove, once, and continues", async () => {
    const { learner, until, published, rounds } = started({});
    await until(() => published().length > 1);
    const at = rounds();
    await until(() => rounds() > at + 20);
    await learner.onApplicationShutdown();
    expect(published()).toHaveLength(2);
    expect(published()[1]).toBeLessThan(1);
  });

  test("L4: while an experiment runs it reports and publishes nothing", async () => {
    const { learner, until, emitted, published } = started({ runsExperiment: true });
    await until(() => emitted("policy_frozen").length > 0);
    await learner.onApplicationShutdown();
    expect(emitted("policy_frozen")).toEqual([expect.objectContaining({ why: "promise-refuted", labels: 400 })]);
    expect(published()).toEqual([1]);
  });

  const compared = someRollout({ name: "v2", stableDigest: policy.modelDigest, phase: "PROGRESSING" });

  test.each([
    ["it is under way", {}],
    ["it waits for a person", { phase: "PAUSED" }],
    ["it rolls back", { phase: "DEGRADED", isBack: false }],
    ["it brings the model", { stableDigest: "ef".repeat(32), modelDigest: policy.modelDigest }],
    ["it brings a policy, of whatever model", { slot: "policy", stableDigest: "12".repeat(32) }],
  ] satisfies [string, Partial<Rollout>][])(
    "L4: policies of a rollout's models stand while %s, and follow the labels once it is over",
    async (_when, change) => {
      const rollout = { ...compared, ...change } satisfies Rollout;
      const { log, learner, until, emitted, published } = started({ rollout });
      await until(() => emitted("policy_frozen").length > 0);
      expect(emitted("policy_frozen")).toEqual([expect.objectContaining({ by: "rollout v2", why: "promise-refuted" })]);
      expect(published()).toEqual([1]);
      log.put(topics.rollouts, rollout.uid, { ...rollout, message: "nothing new" });
      log.put(topics.rollouts, rollout.uid, { ...rollout, phase: "DEGRADED", isBack: true });
      await until(() => published().length > 1);
      await learner.onApplicationShutdown();
      expect(published()).toHaveLength(2);
      expect(emitted("policy_frozen")).toHaveLength(1);
    },
  );

  test.each([
    ["that is done", { phase: "HEALTHY" }],
    ["that has gone back", { phase: "DEGRADED", isBack: true }],
    ["of other models", { stableDigest: "ef".repeat(32) }],
  ] satisfies [string, Partial<Rollout>][])("L4: a rollout %s holds nothing back", async (_which, change) => {
    const { learner, until, emitted, published } = started({ rollout: { ...compared, ...change } });
    await until(() => published().length > 1);
    await learner.onApplicationShutdown();
    expect(emitted("policy_frozen")).toEqual([]);
  });

  const running = someExperiment({ name: "is-the-cloud-worth-it", modelDigest: "ef".repeat(32) });

  test.each([
    ["is decided, and what it adopted is being rolled out", { phase: "DECIDED", freezesPolicies: false }],
    ["is stopped", { phase: "STOPPED", freezesPolicies: false }],
    ["is deleted", null],
  ] satisfies [string, Partial<Experiment> | null][])(
    "L4: policies stand while an experiment runs, and follow the labels once it %s",
    async (_how, end) => {
      const { log, learner, until, emitted, published } = started({ experiment: running });
      await until(() => emitted("policy_frozen").length > 0);
      expect(emitted("policy_frozen")).toEqual([
        expect.objectContaining({ by: "experiment is-the-cloud-worth-it", why: "promise-refuted" }),
      ]);
      expect(published()).toEqual([1]);
      log.put(topics.experiments, running.uid, { ...running, phase: "DECIDED", verdict: "ADOPT" });
      log.put(topics.experiments, running.uid, end && { ...running, ...end });
      await until(() => published().length > 1);
      await learner.onApplicationShutdown();
      expect(published()).toHaveLength(2);
      expect(emitted("policy_frozen")).toHaveLength(1);
    },
  );

  test("L1: a router that does not lead reads nothing; once it leads it reads everything", async () => {
    let leads = false;
    const { learner, until, published, rounds } = started({ isLeader: () => leads });
    await until(() => rounds() > 20);
    expect(published()).toEqual([1]);
    leads = true;
    await until(() => published().length > 1);
    await learner.onApplicationShutdown();
    expect(published()).toHaveLength(2);
  });

  test("L5: an unavailable Kafka is reported and waited for", async () => {
    const { kafka, learner, until, emitted, published } = started({ isUnavailable: true });
    await until(() => emitted("learning_failed").length > 2);
    kafka.isUnavailable = false;
    await until(() => published().length > 1);
    await learner.onApplicationShutdown();
    expect(emitted("learning_failed")[0]).toMatchObject({ code: "kafka-unavailable" });
    expect(published()).toHaveLength(2);
  });
});
