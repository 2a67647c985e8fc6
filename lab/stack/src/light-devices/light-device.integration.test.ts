/** Two light devices of one process: real messages, a real model that they share, real signed metadata. */
import { mkdirSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { agentConfig } from "@tributary/agent/compose";
import { DeviceDesired, DeviceReported, EdgePredictions, EdgeSketches, mqttTopics } from "@tributary/contracts";
import { createTelemetry } from "@tributary/telemetry";
import { repositoryRoot, tempDir, waitFor } from "@tributary/testing";
import { TinyBroker, TinyModelRegistry, writeVariant } from "@tributary/testing/devices";
import { type LightDevice, openLightDevice } from "./light-device.ts";
import { SharedModels } from "./shared-models.ts";
import { openSharedStore } from "./shared-store.ts";

const FACTORY = join(repositoryRoot, "models/edge-resnet8");
const DEVICES = ["light-1", "light-2"];
const topics = mqttTopics();

test("devices of one process fetch once and switch each for itself; a lost connection loses nothing; a cut one continues", async () => {
  const dir = tempDir("light-devices");
  const [broker, registry] = [await TinyBroker.open(), await TinyModelRegistry.open()];
  const light: LightDevice[] = [];
  const up = (deviceId: string, stream: "predictions" | "reported" | "sketches") =>
    broker.received.filter(({ topic }) => topic === topics.up(deviceId, stream)).map(({ payload }) => payload);
  const batches = (deviceId: string) =>
    up(deviceId, "predictions").map((payload) => EdgePredictions.decodeSingleObject(payload));
  const reported = (deviceId: string) => {
    const last = up(deviceId, "reported").at(-1);
    return last && DeviceReported.decodeSingleObject(last);
  };
  try {
    mkdirSync(dir.path, { recursive: true });
    writeFileSync(join(dir.path, "root.json"), registry.rootBytes);
    await writeVariant(FACTORY, join(dir.path, "next"), { version: "2.0.0", latencyBudgetMs: 10_000 });
    const modelDigest = await registry.add(join(dir.path, "next"));
    const photo = await readFile(join(FACTORY, "golden/frame-00.jpg"));
    const telemetry = createTelemetry({ service: "light-devices", level: "silent", defaultMetrics: false });
    const configs = DEVICES.map((deviceId) =>
      agentConfig.parse({
        deviceId,
        dataDir: join(dir.path, "data"),
        clock: "synchronized",
        mqtt: { url: broker.url, password: "x", backoff: { minMs: 20, maxMs: 100 } },
        model: { package: FACTORY },
        models: { registry: registry.url, root: join(dir.path, "root.json") },
        updates: { memoryBytesMin: 0 },
        predictions: { batchWaitMs: 100 },
        windows: { lengthMs: 1_000 },
        cameras: [{ id: "cam", kind: "folder", folder: dir.path, whenFull: "skip", queueFramesMax: 1 }],
      }),
    );
    const store = await openSharedStore(configs[0] as (typeof configs)[number]);
    const runtime = new SharedModels();
    for (const config of configs)
      light.push(
        await openLightDevice(config, {
          telemetry,
          runtime,
          store,
          worldStore: null,
          take: async () => photo,
          fps: 20,
        }),
      );
    for (const { agent } of light) agent.start();

    await waitFor(() => DEVICES.every((id) => batches(id).length > 0), { what: "predictions" });
    broker.cut();
    for (const deviceId of DEVICES) {
      const model = { modelName: "edge-resnet8", modelVersion: "2.0.0", modelDigest };
      const how = { shadowFrames: 3, probationFrames: 5, condition: "ANY" as const, windows: [] };
      const desired: DeviceDesired = {
        deviceId,
        generation: 1n,
        slots: { perception: { ...model, ...how } },
        policyVersion: null,
        arm: "default",
        rollout: "r-1",
        why: "a test",
        changedAt: 0,
      };
      await broker.publish(topics.desired(deviceId), DeviceDesired.encodeSingleObject(desired), true);
    }
    await waitFor(() => DEVICES.every((id) => reported(id)?.update?.phase === "COMMITTED"), { what: "both committed" });
    await waitFor(() => DEVICES.every((id) => batches(id).at(-1)?.modelDigest === modelDigest), { what: "by the new" });
    for (const deviceId of DEVICES) {
      expect(reported(deviceId)?.slots.perception?.modelDigest).toBe(modelDigest);
      const seqs = batches(deviceId).flatMap(({ predictions }) => predictions.map(({ frameSeq }) => Number(frameSeq)));
      const known = [...new Set(seqs)].sort((a, b) => a - b);
      expect(known).toEqual(known.map((_, i) => i + 1));
    }
    const goldenOf = (deviceId: string) => reported(deviceId)?.golden;
    const isChecked = (id: string) => goldenOf(id)?.modelDigest === modelDigest;
    await waitFor(() => DEVICES.every(isChecked), { what: "golden frames of the new model" });
    const before = goldenOf("light-1");
    expect(before).toMatchObject({ frames: 16, failed: 0 });
    expect(before?.logits).toHaveLength(8 * 10);
    await broker.publish(topics.check("light-1"), Buffer.from("1700000000000"), true);
    await waitFor(() => goldenOf("light-1")?.at !== before?.at, { what: "a check on request" });
    const sketches = up("light-1", "sketches").map((payload) => EdgeSketches.decodeSingleObject(payload));
    const seen = sketches.map(({ cameraId, modelDigest: of }) => [cameraId, of === modelDigest ? "new" : "old"].join());
    expect([...new Set(seen)]).toEqual(["cam,old", "cam,new"]);

    const blobs = registry.asked.map(({ path }) => path).filter((path) => path.startsWith("/blobs/"));
    expect(blobs.length).toBe(new Set(blobs).size);
    expect(new Set(light.map(({ agent }) => agent.status().model.pid)).size).toBe(1);

    const [first, second] = light as [LightDevice, LightDevice];
    first.silence();
    const [received, answered] = [batches("light-1").length, first.agent.status().frames];
    const other = batches("light-2").length;
    await waitFor(() => batches("light-2").length > other + 3, { what: "the other device continues" });
    expect(batches("light-1").length - received).toBeLessThanOrEqual(1); // One may have been in flight.
    expect(first.agent.status().frames).toBeGreaterThan(answered);
    expect(second.agent.status().online).toBe(true);
  } finally {
    await Promise.all(light.map(({ agent }) => agent.stop()));
    await broker.close();
    await registry.close();
    dir.remove();
  }
});
