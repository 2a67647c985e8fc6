/** Which records of rollouts.v1 are overwritten, also after Kafka was restored and its topics do not agree. */
import { expect, test } from "@jest/globals";
import { type Rollout, topics } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { generationOf, RolloutController } from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { followContext, MemoryKafka, someRollout } from "@tributary/testing";
import { specOf } from "../creation/spec-problems.ts";
import { digests, written } from "../rollout-manager.test-kit.ts";
import { rolloutStatus } from "./rollout-record.ts";

const order = Array.from({ length: 160 }, (_, i) => `d${i}`);

/** The log has r-1 at version 2; `standing`: the records of the topic. Returns what is written, by uid. */
async function published(epoch: number, ...standing: readonly Partial<Rollout>[]) {
  const controller = new RolloutController(new FleetMetrics());
  const spec = specOf(written("edge@2"));
  const created = { kind: "created", spec, modelDigest: digests.better, stableDigest: digests.old, order } as const;
  for (const [i, change] of [created, { kind: "step-started", step: 0 } as const].entries())
    controller.applied({ uid: "r-1", version: i + 1, at: 1, by: "ann", change }, generationOf(epoch, BigInt(i)));
  const kafka = new MemoryKafka();
  const publishing = { epoch, sink: kafka, clock: systemClock, everyMs: 10 };
  const status = rolloutStatus(controller, new ModelTable(), publishing);
  for (const change of standing) kafka.put(topics.rollouts, change.uid ?? "r-1", someRollout(change));
  const stop = new AbortController();
  const following = await status.follow(followContext(kafka, stop.signal));
  await following.caughtUp;
  stop.abort();
  await following.ended;
  status.start();
  await status.publish();
  const sent = kafka.written.slice(standing.length);
  return sent.map(({ key, value }) => [key, value && topics.rollouts.codec.decodeConfluent(value).version]);
}

test("an older record is overwritten, a newer one is kept (P1)", async () => {
  expect(await published(0)).toEqual([["r-1", 2n]]);
  expect(await published(0, { version: 1n, generation: 1n })).toEqual([["r-1", 2n]]);
  expect(await published(0, { version: 9n, generation: 8n })).toEqual([]);
});

test("after a restore the log is right, also where the topic was ahead of it (P1)", async () => {
  expect(await published(1, { version: 9n, phase: "HEALTHY", generation: 8n })).toEqual([["r-1", 2n]]);
  // Another instance is configured with a newer epoch.
  expect(await published(1, { version: 1n, generation: generationOf(2, 0n) })).toEqual([]);
});

test("an active rollout that the restored log does not have is ended, and nothing else (P3)", async () => {
  const forgotten = { uid: "r-2", version: 3n, generation: 40n };
  const known = { version: 2n, generation: generationOf(1, 1n) };
  const ends = async (...standing: readonly Partial<Rollout>[]) =>
    (await published(1, known, ...standing)).filter(([key]) => key !== "r-1");
  expect(await ends(forgotten)).toEqual([["r-2", null]]);
  expect(await ends({ ...forgotten, phase: "HEALTHY" }, { ...forgotten, uid: "r-3", isBack: true })).toEqual([]);
  // Another instance has just started it.
  expect(await ends({ ...forgotten, generation: generationOf(1, 7n) })).toEqual([]);
});
