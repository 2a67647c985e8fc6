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

/** A Kafka that stores on demand; nothing is read back. */
function log() {
  const sends: (() => void)[] = [];
  const sink = new MemoryKafka();
  sink.before = () => new Promise((resolve) => sends.push(resolve));
  const eventLog = new EventLog({
    controller: {} as RolloutController,
    epoch: 0,
    sink,
    clock: systemClock,
    readBackMsMax: 1,
    telemetry: silentTelemetry(),
    onChange: () => {},
  });
  const until = async (count: number) => {
    while (sends.length < count) await new Promise(setImmediate);
  };
  return { eventLog, sends, until };
}

test("a command waits for the proposal in flight, and is built from the state after it", async () => {
  const { eventLog, sends, until } = log();
  let version = 2;
  const made: number[] = [];
  const command = () => {
    made.push(version);
    return pause(version);
  };
  const first = eventLog.propose(pause(2), "rollout-manager");
  const commands = [eventLog.proposeNext(uid, command, "ann"), eventLog.proposeNext(uid, command, "bob")];
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
  await Promise.all(commands);
  expect([made, eventLog.isBusy(uid)]).toEqual([[3, 4], false]);
});

test("a proposal of the controller does not wait: it is repeated", async () => {
  const { eventLog, sends } = log();
  const first = eventLog.propose(pause(2), "rollout-manager");
  await expect(eventLog.propose(pause(2), "rollout-manager")).rejects.toMatchObject({ code: "rollout-busy" });
  sends[0]?.();
  await first;
});
