import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { type Proposal, type RolloutController, recordOfEvent } from "@tributary/rollouts";
import { followContext, MemoryKafka, silentTelemetry } from "@tributary/testing";
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

/** A log that was read, of rollouts whose last event that counts is their second; and what nothing is decided about. */
async function read(write: (kafka: MemoryKafka) => void) {
  const kafka = new MemoryKafka();
  write(kafka);
  const applied: string[] = [];
  const controller = {
    rollout: () => ({ version: 2 }),
    applied: ({ uid, version }: { uid: string; version: number }) => {
      applied.push(`${uid} ${version}`);
      return { kind: "stale", reason: "of a test" };
    },
  } as unknown as RolloutController;
  const telemetry = silentTelemetry();
  const eventLog = new EventLog({
    ...{ controller, epoch: 0, sink: kafka, clock: systemClock, readBackMsMax: 1, telemetry, onChange: () => {} },
  });
  const stop = new AbortController();
  await (await eventLog.follow(followContext(kafka, stop.signal))).caughtUp;
  const proposed = (of: string) => eventLog.propose({ ...pause(3), uid: of }, "ann");
  return { eventLog, applied, proposed, stop: () => stop.abort() };
}
const eventOf = (of: string, version: number) =>
  recordOfEvent({ ...pause(version), uid: of, at: 0, by: "bob" } as never);
const put = (kafka: MemoryKafka, record: ReturnType<typeof eventOf>, key = record.uid) =>
  kafka.put(topics.rolloutEvents, key, record);

test("of a rollout with an event that a later version wrote, nothing is decided; others go on (event-log.ts L4)", async () => {
  const { eventLog, applied, proposed, stop } = await read((kafka) => {
    put(kafka, { ...eventOf("later", 3), kind: "UNKNOWN" });
    put(kafka, eventOf("later", 4));
    put(kafka, eventOf("others", 3));
    // Its schema is not known here, either.
    const value = topics.rolloutEvents.codec.encodeConfluent(eventOf("undecodable", 3));
    value.writeUInt32BE(4_000_000, 1);
    kafka.write({ topic: topics.rolloutEvents.name, key: "undecodable", value });
  });
  expect([...eventLog.unreadable.keys()]).toEqual(["later", "undecodable"]);
  for (const held of ["later", "undecodable"]) {
    await expect(proposed(held)).rejects.toMatchObject({
      code: "rollout-history-unknown",
      message: expect.stringMatching(/offset \d.*(UNKNOWN, by bob|unreadable), schema \d+\): run the version/),
    });
  }
  expect(applied).toContain("others 3");
  expect(await proposed("others")).toMatchObject({ kind: expect.stringMatching(/stale|unknown/) });
  stop();
});

test("what no version can have written, and what counts for none, holds nothing (event-log.ts L2, L4)", async () => {
  const { eventLog, stop } = await read((kafka) => {
    put(kafka, { ...eventOf("slower", 2), kind: "UNKNOWN" });
    put(kafka, { ...eventOf("other-key", 3), kind: "UNKNOWN" }, "somebody");
    put(kafka, { ...eventOf("malformed", 3), details: "{" });
    kafka.write({ topic: topics.rolloutEvents.name, key: "garbage", value: Buffer.from("no Avro") });
  });
  expect([...eventLog.unreadable.keys()]).toEqual([]);
  stop();
});
