/** The service as a process on a real Kafka: frames in; records, pictures and an exported folder out. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { ArchivedFrame, DeviceRegistration, EdgeFrame, GroundTruth, topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink } from "@tributary/kafka";
import { exitFlags } from "@tributary/kernel";
import {
  recordsIn,
  repositoryRoot,
  type SpawnedService,
  someBootId,
  someFrame,
  someJpeg,
  someRegistration,
  spawnService,
  startProgram,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";

const main = "services/frame-archive/dist/main.js";
const TOKEN = "a-token-of-the-archive";

test("--help describes the service, and a missing configuration ends it with 2", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [...exitFlags, join(repositoryRoot, main), ...args], { encoding: "utf8" });
  expect(run("--help")).toMatchObject({ status: 0, stdout: expect.stringMatching(/worth labelling/) });
  expect(run().status).toBe(2);
});

describe("a frame-archive", () => {
  const kafka = { ...testKafka(), clientId: "frame-archive-test" };
  const dir = tempDir("frame-archive");
  const running: SpawnedService[] = [];
  let sink: KafkajsSink;
  let jpeg: Buffer;

  beforeAll(async () => {
    const admin = new KafkajsAdmin(kafka);
    await ensureTributaryTopics(admin, { partitions: 2 });
    await admin.close();
    sink = new KafkajsSink(kafka);
    jpeg = await someJpeg({ side: 32 });
  });
  afterAll(async () => {
    await Promise.all(running.map((service) => service.kill()));
    await sink.close();
    dir.remove();
  });

  const start = async (): Promise<SpawnedService> => {
    const config = {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      auth: { tokens: [TOKEN] },
      dataDir: join(dir.path, "data"),
    };
    const service = await spawnService({ name: `frame-archive-${running.length}`, main, dir: dir.path, config });
    running.push(service);
    return service;
  };
  const send = (seqs: readonly number[], change: Partial<EdgeFrame> = {}) =>
    sink.send(
      seqs.map((seq) => {
        const frame = someFrame({ deviceId: "cam-1", frameSeq: BigInt(seq), jpeg, ...change });
        return { topic: topics.frames.name, key: "cam-1", value: EdgeFrame.encodeConfluent(frame) };
      }),
    );
  const label = async (seq: number): Promise<void> => {
    const id = { deviceId: "cam-1", bootId: someBootId, cameraId: "cam", frameSeq: BigInt(seq) };
    const about = { label: "dog", source: "PERSON", labelledBy: "ann", labelledAt: Date.now() } as const;
    const value = GroundTruth.encodeConfluent({ ...id, ...about, labelSet: null, comment: null, frameAt: null });
    await sink.send([{ topic: topics.groundTruth.name, key: "cam-1", value }]);
  };
  const archived = async (): Promise<readonly string[]> => {
    const records = await recordsIn(kafka, topics.archivedFrames.name);
    return records.map(({ value }) => {
      const { frameSeq, why, site } = ArchivedFrame.decodeConfluent(value as Buffer);
      return `${frameSeq} ${why} ${site}`;
    });
  };
  const untilArchived = (count: number) =>
    waitFor(async () => (await archived()).length >= count, { what: `${count} kept frames` });

  test("keeps what is drawn and labelled, also after it was killed, and serves and exports it", async () => {
    const registration = DeviceRegistration.encodeConfluent(someRegistration({ deviceId: "cam-1", site: "north" }));
    await sink.send([{ topic: topics.registry.name, key: "cam-1", value: registration }]);
    const first = await start();
    await send([1, 2], { sampleDrawn: true, samplePropensity: 0.25 });
    await send([3, 4]);
    await untilArchived(2);
    await label(3);
    await untilArchived(3);
    await first.kill();
    await label(4); // of a frame that only the killed process has read
    const { ports } = await start();
    await untilArchived(4);
    expect((await archived()).toSorted()).toEqual([
      "1 SAMPLE north",
      "2 SAMPLE north",
      "3 LABELLED north",
      "4 LABELLED north",
    ]);

    const url = `http://127.0.0.1:${ports.http}`;
    const get = (path: string, headers: Record<string, string> = {}) =>
      fetch(`${url}${path}`, { headers: { authorization: `Bearer ${TOKEN}`, ...headers } });
    expect((await fetch(`${url}/frames`)).status).toBe(401);
    const listed = async () =>
      ((await (await get("/frames?labelled=true&limit=10")).json()) as { items: object[] }).items;
    await waitFor(async () => (await listed()).length === 2, { what: "two labelled frames" });
    const picture = await get(`/frames/cam-1:${someBootId}:cam:1`);
    expect([picture.status, picture.headers.get("content-type")]).toEqual([200, "image/jpeg"]);
    expect(Buffer.from(await picture.arrayBuffer()).equals(jpeg)).toBe(true);
    const etag = picture.headers.get("etag") ?? "";
    expect((await get(`/frames/cam-1:${someBootId}:cam:1`, { "if-none-match": etag })).status).toBe(304);
    expect((await get(`/frames/cam-1:${someBootId}:cam:9`)).status).toBe(404);
    expect((await get("/frames/nonsense")).status).toBe(400);
    expect((await get("/frames?colour=red")).status).toBe(400);

    const folder = join(dir.path, "exported");
    const args = ["cli/tributary.mjs", "frames", "export", folder, "--site", "north", "--archive", url];
    const env = { TRIBUTARY_FRAME_ARCHIVE_TOKEN: TOKEN };
    const ran = await startProgram(process.execPath, args, { env }).ended;
    expect(ran).toMatchObject({ code: 0, out: expect.stringContaining("4 frames, 1 pictures with a label") });
    expect(readdirSync(folder).sort()).toEqual(["frames", "frames.jsonl", "labels.json"]);
    const lines = readFileSync(join(folder, "frames.jsonl"), "utf8").trim().split("\n");
    const frames = lines.map(
      (line) => JSON.parse(line) as { readonly file: string; readonly samplePropensity: number },
    );
    expect(frames).toHaveLength(4);
    expect(frames.filter(({ samplePropensity }) => samplePropensity === 0.25)).toHaveLength(2);
    expect(readFileSync(join(folder, frames[0]?.file ?? "")).equals(jpeg)).toBe(true);
    expect(JSON.parse(readFileSync(join(folder, "labels.json"), "utf8"))).toEqual({ [frames[0]?.file ?? ""]: "dog" });
    const without = await startProgram(process.execPath, args.slice(0, 4)).ended;
    expect(without).toMatchObject({ code: 2, err: expect.stringContaining("TRIBUTARY_FRAME_ARCHIVE") });
  });
});
