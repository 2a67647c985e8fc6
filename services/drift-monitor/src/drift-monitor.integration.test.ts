/** The service as processes on a real Kafka: sketches in, a verdict out. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  DeviceRegistration,
  DeviceReported,
  DriftReview,
  DriftVerdict,
  type EdgeSketches,
  topics,
} from "@tributary/contracts";
import type { DriftReference } from "@tributary/drift";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { exitFlags } from "@tributary/kernel";
import {
  repositoryRoot,
  type SpawnedService,
  someDriftReview,
  someRegistration,
  someReported,
  spawnService,
  tempDir,
  testKafka,
  waitFor,
} from "@tributary/testing";
import { folder, sketchRecord, someReference, someSketches } from "./drift-monitor.test-kit.ts";

const main = "services/drift-monitor/dist/main.js";

test("--help describes the service, and a missing configuration ends it with 2", () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [...exitFlags, join(repositoryRoot, main), ...args], { encoding: "utf8" });
  expect(run("--help")).toMatchObject({ status: 0, stdout: expect.stringMatching(/what changed on the fleet/) });
  expect(run().status).toBe(2);
});

describe("drift-monitors", () => {
  const kafka = { ...testKafka(), clientId: "drift-monitor-test" };
  const dir = tempDir("drift-monitor");
  const running: SpawnedService[] = [];
  let sink: KafkajsSink;
  let reader: KafkaReader;
  let reference: DriftReference;

  beforeAll(async () => {
    const admin = new KafkajsAdmin(kafka);
    await ensureTributaryTopics(admin, { partitions: 4 });
    await admin.close();
    sink = new KafkajsSink(kafka);
    reader = new KafkaReader(kafka);
    reference = await someReference();
  });
  afterAll(async () => {
    await Promise.all(running.map((service) => service.kill()));
    await sink.close();
    await reader.close();
    dir.remove();
  });

  const start = async (): Promise<SpawnedService> => {
    const config = {
      kafka: { brokers: kafka.brokers, prefix: kafka.prefix },
      packages: [folder],
      detector: { baselineWindows: 60 },
      verdicts: { settleMs: 0, holdMs: 0, lookEveryMs: 250 },
    };
    const service = await spawnService({ name: `drift-monitor-${running.length}`, main, dir: dir.path, config });
    running.push(service);
    return service;
  };
  const metric = async (services: readonly SpawnedService[], name: string): Promise<number> => {
    const texts = services.map(async ({ ports }) => (await fetch(`http://127.0.0.1:${ports.http}/metrics`)).text());
    return (await Promise.all(texts))
      .flatMap((text) => text.split("\n").filter((line) => line.startsWith(name)))
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  };
  const verdicts = async (): Promise<readonly DriftVerdict[]> => {
    const records = await Array.fromAsync(readTopic(reader, topics.driftVerdicts.name));
    return records.flatMap(({ value }) => (value === null ? [] : [DriftVerdict.decodeConfluent(value)]));
  };
  const send = (sketches: readonly EdgeSketches[]) => sink.send(sketches.map(sketchRecord));

  test("fold what devices sketch, share the partitions, and open one verdict though one of them stops", async () => {
    const devices = Array.from({ length: 6 }, (_, i) => `device-${i}`);
    await sink.send(
      devices.flatMap((deviceId) => {
        const registration = someRegistration({ deviceId });
        const perception = { modelDigest: reference.modelDigest, modelName: "edge", modelVersion: "1" };
        const reported = someReported({ deviceId, slots: { perception }, cameras: ["front"] });
        return [
          { topic: topics.registry.name, key: deviceId, value: DeviceRegistration.encodeConfluent(registration) },
          { topic: topics.reported.name, key: deviceId, value: DeviceReported.encodeConfluent(reported) },
        ];
      }),
    );
    const [first, second] = await Promise.all([start(), start()]);
    const both = [first, second];
    await waitFor(async () => (await metric(both, "tributary_drift_partitions ")) === 4, { what: "4 partitions" });

    const windows = 280;
    const of = (deviceId: string, i: number) =>
      someSketches({ deviceId, reference, windows, ...(i < 3 && { darkFrom: 200 }) });
    const sketches = devices.map(of);
    await send(sketches.flatMap((ofDevice) => ofDevice.slice(0, 210)));
    await waitFor(async () => (await metric(both, 'tributary_drift_windows_total{outcome="folded"')) >= 1_260, {
      what: "1,260 windows",
    });
    // The one that decides verdicts stops in the middle of an onset; the other one continues from its states.
    const owner = (await metric([first], "tributary_drift_cameras{")) > 0 ? first : second;
    const other = owner === first ? second : first;
    expect(await owner.stop()).toEqual({ code: 0, signal: null });
    const foreign = { ...(sketches[0]?.[0] as EdgeSketches), modelDigest: "0".repeat(64), seq: 500n };
    await send([...sketches.flatMap((ofDevice) => ofDevice.slice(190)), foreign]);
    const open = await waitFor(
      async () => {
        const all = await verdicts();
        return all.find(({ devicesAffected }) => devicesAffected === 3);
      },
      { what: "a verdict about three devices", timeoutMs: 30_000 },
    );
    expect(open).toMatchObject({ state: "OPEN", modelDigest: reference.modelDigest });
    expect(open.devices.map(({ deviceId }) => deviceId)).toEqual(["device-0", "device-1", "device-2"]);
    expect(await metric([other], 'tributary_drift_windows_refused_total{outcome="package-unknown"')).toBe(1);
    expect(await metric([other], 'tributary_drift_windows_total{outcome="repeated"')).toBeGreaterThanOrEqual(120);
    expect(await metric([other], "tributary_drift_verdicts_open{")).toBe(1);
    // No record of a verdict is written twice.
    const written = (await verdicts()).map(({ verdictId, version }) => `${verdictId} ${version}`);
    expect(new Set(written).size).toBe(written.length);
    expect(await other.stop()).toEqual({ code: 0, signal: null });

    // A person answers while none runs: the next one closes the verdict, and the cameras learn from the dark windows that follow.
    const { verdictId, openedAt, version, cause: found } = open;
    const accepted = open.devices.map(({ deviceId, cameras }) => ({ deviceId, cameras }));
    const review = someDriftReview({ verdictId, openedAt, version, found, devices: accepted });
    const value = DriftReview.encodeConfluent(review);
    await sink.send([{ topic: topics.driftReviews.name, key: verdictId, value }]);
    const third = await start();
    const closed = await waitFor(
      async () => (await verdicts()).findLast((one) => one.verdictId === verdictId && one.state === "CLOSED"),
      { what: "the accepted verdict closed", timeoutMs: 30_000 },
    );
    expect(closed).toMatchObject({ closedBecause: "accepted by ann", review: { kind: "ACCEPT", offset: 0n } });
    const still = { reference, windows: 80, windowMs: 20, darkFrom: 0, seq: 1_000 };
    await send(accepted.flatMap(({ deviceId }) => someSketches({ ...still, deviceId })));
    const cameras = (state: string) => metric([third], `tributary_drift_cameras{state="${state}"`);
    await waitFor(async () => (await cameras("compared")) === 6 && (await cameras("alarmed")) === 0, {
      what: "six cameras that are compared, none with an alarm",
      timeoutMs: 30_000,
    });
    expect((await verdicts()).findLast((one) => one.verdictId === verdictId)?.state).toBe("CLOSED");
    expect(await third.stop()).toEqual({ code: 0, signal: null });
  });
});
