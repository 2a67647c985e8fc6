import { expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import type { Proposal, RolloutController } from "@tributary/rollouts";
import { MemoryKafka, silentTelemetry } from "@tributary/testing";
import { EventLog } from "./event-log.ts";

const uid = "u1";
const pause = (version: number): Proposal => ({
  uid,
  version,
  change: { kind: "paused", reason: "person", untilMs: null, evidence: {} },
});

/** A Kafka that stores when told to; nothing is read back. */
function log() {
  const sends: (() => void)[] = [];
  const sink = new MemoryKafka();
  sink.before = () => new Promise((resolve) => sends.push(resolve));
  const eventLog = new EventLog({
    ...{ controller: {} as RolloutController, epoch: 0, sink, clock: systemClock, readBackMsMax: 1 },
    telemetry: silentTelemetry(),
    onChange: () => {},
  });
  const until = async (count: number) => {
    while (sends.length < count) await new Promise(setImmediate);
  };
  return { eventLog, sends, until };
}

test("what a person wants waits for the proposal in flight, and is made of what that came to", async () => {
  const { eventLog, sends, until } = log();
  let version = 2;
  const made: number[] = [];
  const wish = () => {
    made.push(version);
    return pause(version);
  };
  const first = eventLog.propose(pause(2), "rollout-manager");
  const wishes = [eventLog.proposeNext(uid, wish, "ann"), eventLog.proposeNext(uid, wish, "bob")];
  await until(1);
  expect(made).toEqual([]);
  version = 3;
  sends[0]?.();
  await first;
  await until(2);
  expect([made, sends.length]).toEqual([[3], 2]);
  version = 4;
  sends[1]?.();
  await until(3);
  sends[2]?.();
  await Promise.all(wishes);
  expect([made, eventLog.isBusy(uid)]).toEqual([[3, 4], false]);
});

test("what is proposed by itself does not wait: it is proposed again", async () => {
  const { eventLog, sends } = log();
  const first = eventLog.propose(pause(2), "rollout-manager");
  await expect(eventLog.propose(pause(2), "rollout-manager")).rejects.toMatchObject({ code: "rollout-busy" });
  sends[0]?.();
  await first;
});
