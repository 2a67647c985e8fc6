/** Rollouts from creation to their end, on a real Kafka, with a simulated fleet. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { DeviceDesired, type Rollout as RolloutRecord, topics } from "@tributary/contracts";
import { type InRecord, readTopic } from "@tributary/kafka";
import { analysisEvidenceOf, isFinished, recordOfEvent } from "@tributary/rollouts";
import { waitFor } from "@tributary/testing";
import { digests, Rig, until, written } from "./rollout-manager.test-kit.ts";

const all = (rig: Rig, topic: string): Promise<InRecord[]> => Array.fromAsync(readTopic(rig.reader, topic));

/** Generations of each device in the order of the log. */
async function generationsOf(rig: Rig): Promise<ReadonlyMap<string, readonly bigint[]>> {
  const generations = new Map<string, bigint[]>();
  for (const { key, value } of await all(rig, topics.desired.name)) {
    const { generation } = DeviceDesired.decodeConfluent(value as Buffer);
    generations.set(key ?? "", [...(generations.get(key ?? "") ?? []), generation]);
  }
  return generations;
}

async function published(rig: Rig, uid: string): Promise<RolloutRecord | undefined> {
  const last = (await all(rig, topics.rollouts.name)).filter(({ key }) => key === uid).at(-1);
  return last === undefined ? undefined : topics.rollouts.codec.decodeConfluent(last.value as Buffer);
}

describe("a rollout", () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = new Rig();
    await rig.prepare(80);
  });
  afterAll(() => rig.stop());

  test("of an equal model goes by canary, analysis and promotion to every device", async () => {
    const fleet = rig.fleet as NonNullable<Rig["fleet"]>;
    const instance = await rig.instance();
    const { uid } = await instance.manager.create(written("edge@2"), "ann");
    await until(instance, uid, "its analysis", ({ analysis }) => analysis === "Running");
    expect(fleet.running(digests.better)).toHaveLength(8);
    const done = await until(instance, uid, "its end", isFinished);
    expect(done).toMatchObject({ phase: "Healthy", weight: 100 });
    expect(fleet.running(digests.better)).toHaveLength(80);
    const record = await waitFor(
      async () => {
        const one = await published(rig, uid);
        return one?.phase === "HEALTHY" && one;
      },
      { what: "rollouts.v1" },
    );
    expect(record).toMatchObject({ modelVersion: "2", devices: 80, reached: 80, updated: 80, refused: 0 });
    const events = (await all(rig, topics.rolloutEvents.name)).map(({ value }) =>
      topics.rolloutEvents.codec.decodeConfluent(value as Buffer),
    );
    const verdict = events.find(({ kind }) => kind === "ANALYSED");
    expect(verdict?.verdict).toBe("SUCCESSFUL");
    const evidence = analysisEvidenceOf((JSON.parse(verdict?.details ?? "{}") as { evidence: unknown }).evidence);
    expect(evidence).toMatchObject({ canary: { devices: 8, heard: 8 }, control: { devices: 32 } });
    expect(evidence?.settings.map(({ name }) => name)).toContain("judge.lookEveryMs");
    // One record for each device: no desired state is sent twice.
    for (const [, generations] of await generationsOf(rig)) expect(generations).toHaveLength(1);
    await instance.close();
  });

  test("of a worse model is rolled back from its canary, and a person may try again", async () => {
    const fleet = rig.fleet as NonNullable<Rig["fleet"]>;
    const instance = await rig.instance();
    const { uid } = await instance.manager.create(written("edge@3"), "ann");
    const back = await until(instance, uid, "its rollback", isFinished);
    expect(back).toMatchObject({
      phase: "Degraded",
      weight: 0,
      aborted: {
        why: expect.stringMatching(/^frames within the deadline fell by .* against the control/),
        isBack: true,
      },
    });
    expect(fleet.running(digests.worse)).toEqual([]);
    const had = fleet.all.filter(({ ran }) => ran.includes(digests.worse));
    expect(had).toHaveLength(8);
    expect(fleet.all.every(({ ignored }) => ignored.length === 0)).toBe(true);
    await expect(instance.manager.command(uid, "undo", "ann")).rejects.toThrow(/rolled back already/);
    const again = await instance.manager.command(uid, "retry", "ann");
    expect(again).toMatchObject({ phase: "Progressing", weight: 0 });
    await until(instance, uid, "its second rollback", ({ aborted }) => aborted?.isBack === true);
    expect(fleet.running(digests.worse)).toEqual([]);
    await instance.close();
  });
});

test("records that are no events, and events out of turn, change nothing", async () => {
  const rig = new Rig();
  await rig.prepare(80);
  const instance = await rig.instance();
  const { uid } = await instance.manager.create(
    written("edge@2", {}, [{ setWeight: 10 }, { pause: {} }, { analysis: { duration: "9s" } }, { setWeight: 100 }]),
    "ann",
  );
  await until(instance, uid, "its pause", ({ phase }) => phase === "Paused");
  const send = (value: Buffer, key = uid) => rig.sink.send([{ topic: topics.rolloutEvents.name, key, value }]);
  const { version } = instance.manager.controller.rollout(uid) as { version: number };
  const event = recordOfEvent({
    uid,
    version: version + 1,
    at: 1,
    by: "eve",
    change: { kind: "completed", evidence: {} },
  });
  const encode = (change: object) => topics.rolloutEvents.codec.encodeConfluent({ ...event, ...change });
  await send(Buffer.from("not Avro"));
  await send(encode({ details: "{" }));
  await send(encode({ kind: "PAUSED" }));
  await send(encode({ version: BigInt(version) }));
  await send(encode({ version: BigInt(version + 7) }));
  await send(encode({}), "another-key");
  await waitFor(
    async () =>
      /malformed_total\{topic="rollouts.events.v1",code="rollout-event-unusable"\} 3/.test(
        await instance.telemetry.metrics(),
      ),
    { what: "three records that are no events" },
  );
  await waitFor(async () => /events_stale_total 2/.test(await instance.telemetry.metrics()), {
    what: "two that are stale",
  });
  expect(instance.manager.controller.rollout(uid)).toMatchObject({ version, phase: "Paused" });
  await rig.stop();
});
