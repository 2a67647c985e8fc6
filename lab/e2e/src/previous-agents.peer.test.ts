/**
 * Agents as they were built at earlier commits (edge/agent/previous, ADR 26), beside today's, on today's services: a fleet
 * always has older ones. What is expected of each follows from what it holds: one without `libs/core/updates` has no
 * updates. Cameras run all the time, so every frame is counted across rollouts and the change of agents.
 */
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { type GatewayClient, gatewayClient, type RolloutView } from "@tributary/api";
import { type DesiredModel, DeviceDesired, openSingleObject, topics } from "@tributary/contracts";
import { KafkajsSink, type OutRecord } from "@tributary/kafka";
import type { Digest } from "@tributary/kernel";
import {
  type Account,
  accountOf,
  cloudPackage,
  type DeviceAgent,
  edgePackage,
  lossesOf,
  mains,
  metricsOf,
  type Stack,
  startStack,
  tributary,
} from "@tributary/stack";
import { type SpawnedService, someDesired, spawnService, tempDir, testKafka, waitFor } from "@tributary/testing";
import { writeVariant } from "@tributary/testing/devices";
import { folder, packagesIn, previousAgents, unpackAgent } from "../../../tools/previous-agents.mjs";
import { RawDevice, type Received } from "./raw-device.ts";

const MODEL = "edge";
const POLICY = "policy.json";
const UPDATES = "libs/core/updates";
/** A bound on what hangs, not a measure. */
const STEP_MS = 60_000;
/** Longer than any of these takes. */
const DEADLINE_MS = 600_000;
/** The router spares a target that took longer than 5 s: a machine under load, which is no agent's doing. */
const BUSY: ReadonlySet<string> = new Set(["DEADLINE_UNREACHABLE", "CLOUD_UNHEALTHY"]);

const idsOf = (devices: readonly { readonly deviceId: string }[]): readonly string[] =>
  devices.map(({ deviceId }) => deviceId).sort();
/** An earlier agent on its device. */
type Kept = { readonly agent: DeviceAgent; readonly version: string; readonly updates: boolean };

describe("given every agent that is kept and today's, each on a device, and today's services", () => {
  const dir = tempDir("previous-agents");
  const { brokers, prefix } = testKafka();
  const digests: Record<string, Digest> = {};
  const replaced: SpawnedService[] = [];
  let stack: Stack;
  let kept: readonly Kept[];
  let today: DeviceAgent;
  let rolledOut: string;

  let gateway: GatewayClient;
  const reportedOf = async ({ deviceId }: DeviceAgent) => {
    const { reported } = await gateway.devices.one({ deviceId });
    if (reported === null) throw new Error(`${deviceId} has not reported`);
    return reported;
  };
  const untilOn = async (version: string, agents: readonly DeviceAgent[]) => {
    for (const agent of agents) {
      const isOn = async () => (await reportedOf(agent)).slots.perception?.modelDigest === digests[version];
      await waitFor(isOn, { what: `${version} on ${agent.deviceId}`, timeoutMs: STEP_MS, everyMs: 100 });
    }
  };
  const rollout = (version: string, devices?: readonly string[]) =>
    gateway.rollouts.create({
      body: {
        by: "test",
        spec: {
          apiVersion: "tributary.dev/v1",
          kind: "ModelRollout",
          metadata: { name: `to-${version.replaceAll(".", "-")}` },
          spec: {
            model: `${MODEL}@${version}`,
            ...(devices && { selector: { devices } }),
            strategy: { canary: { steps: [{ setWeight: 100 }] } },
          },
        },
      },
    });
  const until = async (uid: string, what: string, is: (rollout: RolloutView) => boolean): Promise<RolloutView> => {
    let view: RolloutView | undefined;
    const look = async () => {
      view = await gateway.rollouts.one({ uid });
      return is(view) && view;
    };
    return waitFor(look, { what, timeoutMs: STEP_MS, everyMs: 200 }).catch((error: unknown) => {
      throw new Error(`${error}; it is ${JSON.stringify(view)}`);
    });
  };
  const withoutUpdates = () => kept.filter(({ updates }) => !updates).map(({ agent }) => agent);
  /** Who can follow a rollout before today's agent is everywhere. */
  const following = () => [...kept.filter(({ updates }) => updates).map(({ agent }) => agent), today];

  beforeAll(async () => {
    // A machine under load is slow: here it is only asked what is answered, not how soon.
    const policy = JSON.parse(readFileSync(join(edgePackage, POLICY), "utf8"));
    const files = { [POLICY]: Buffer.from(JSON.stringify({ ...policy, deadlineMs: DEADLINE_MS })) };
    // The larger model, as its numbers are floats: of agents before the option for it, int8 models saturate on x86 without VNNI, and their
    // golden frames rightly refuse them there.
    for (const version of ["1.0.0", "2.0.0"]) {
      const variant = { name: MODEL, version, hardwareClass: "x64", latencyBudgetMs: 2_000, files };
      digests[version] = await writeVariant(cloudPackage, join(dir.path, version), variant);
    }
    const programs = previousAgents().map((agent, i) => {
      const tree = join(dir.path, `agent-${i + 1}`);
      return { ...agent, unknownKeys: agent.unknownKeys ?? [], main: unpackAgent(agent, tree), tree };
    });
    stack = await startStack({
      dir: join(dir.path, "stack"),
      kafka: { brokers, prefix, partitions: 4 },
      packages: { edge: join(dir.path, "1.0.0") },
      agents: {
        count: programs.length + 1,
        fps: 3,
        config: { windows: { lengthMs: 5_000 } },
        program: (i) => programs[i],
      },
      rollouts: {
        registry: { checks: { hardwareClasses: { x64: 1 } } },
        manager: { updates: { shadowFrames: 3, probationFrames: 5 }, limits: { statusEveryMs: 300 } },
      },
    });
    gateway = gatewayClient({ url: stack.gatewayUrl });
    kept = programs.map(({ version, tree }, i) => ({
      version,
      agent: stack.agents[i] as DeviceAgent,
      updates: packagesIn(tree).some(({ path }) => path === UPDATES),
    }));
    today = stack.agents.at(-1) as DeviceAgent;
    const push = async (version: string) => {
      await tributary(stack, "models", "push", join(dir.path, version), "--by", "test");
      const body = { by: "test", reason: "there is nothing to compare" };
      await gateway.models.force({ name: MODEL, version, body });
    };
    await Promise.all(Object.keys(digests).map(push));
    await gateway.models.alias({ name: MODEL, alias: "champion", body: { version: "1.0.0", by: "test" } });
  }, 240_000);
  afterAll(async () => {
    await Promise.all(replaced.map((agent) => agent.stop()));
    await stack?.stop();
    dir.remove();
  });

  test("then the folder holds the listed agents and no others, the first of which knows nothing of updates", async () => {
    const files = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
    expect(files.sort()).toEqual(
      previousAgents()
        .map(({ file }) => file)
        .sort(),
    );
    expect(kept[0]?.updates).toBe(false);
    expect(kept.some(({ updates }) => updates)).toBe(true);
  });

  test("then the fleet's list has each agent's version, and each announced its schemas", async () => {
    for (const { agent, version, updates } of kept) {
      const reported = await waitFor(() => reportedOf(agent), { what: "its report", timeoutMs: STEP_MS });
      expect(reported.agentVersion).toBe(version);
      const announced = DeviceDesired.versions.filter(({ fingerprint }) =>
        reported.acceptedSchemas.includes(fingerprint),
      );
      expect([agent.deviceId, announced.length > 0]).toEqual([agent.deviceId, updates]);
    }
    const text = await tributary(stack, "get", "devices", "-o", "wide");
    for (const { agent, version } of kept) expect(text).toMatch(new RegExp(`${agent.deviceId}\\s.*\\s${version}\\s`));
  });

  test("when a rollout names a device whose agent has no updates, then it is refused by name", async () => {
    for (const deviceId of idsOf(withoutUpdates())) {
      const detail = expect.stringContaining(`agent of ${deviceId} knows nothing of`);
      await expect(rollout("2.0.0", [deviceId, today.deviceId])).rejects.toMatchObject({ status: 422, detail });
    }
  });

  test("when a rollout goes to the fleet, then those that can follow it do, and the others are not counted, nor disturbed", async () => {
    const devices = following().length;
    rolledOut = (await rollout("2.0.0")).uid;
    const healthy = await until(rolledOut, "a Healthy rollout", ({ phase }) => phase === "Healthy");
    expect(healthy).toMatchObject({ devices, updated: devices });
    await untilOn("2.0.0", following());
    const { items } = await gateway.rollouts.devicesOf({ uid: rolledOut });
    expect(idsOf(items)).toEqual(idsOf(following()));
    // A desired state that these cannot read waits, whoever wrote it, for an agent that can.
    const sink = new KafkajsSink({ brokers: [...brokers], prefix, clientId: "test" });
    await sink
      .send(idsOf(withoutUpdates()).map((deviceId) => desiredOf(deviceId, "2.0.0")))
      .finally(() => sink.close());
  });

  test("then each frame has one answer, and those sent have the cloud's", async () => {
    const account = await answeredUntil(Date.now());
    expect(account).toMatchObject({ duplicates: 0, contradictions: 0 });
    for (const { deviceId } of stack.agents) {
      const sent = [...account.sent.keys()].filter((key) => key.startsWith(`${deviceId}:`));
      expect(sent.length).toBeGreaterThan(0);
      // What was sent a moment ago may still wait.
      const settledBy = new Set(sent.flatMap((key) => account.answered.get(key)?.answer.settledBy ?? []));
      expect([deviceId, [...settledBy].filter((cause) => !BUSY.has(cause))]).toEqual([deviceId, ["CLOUD_ANSWER"]]);
    }
  });

  test("then no agent got a message that it cannot use, nor the bridge", async () => {
    expect(stack.agents.filter(({ part }) => !part.isAlive)).toEqual([]);
    for (const { agent } of kept) {
      const refused = agent.part.events().filter(({ event }) => event === "downlink_refused");
      expect([agent.deviceId, refused]).toEqual([agent.deviceId, []]);
      const status = await fetch(`${agent.url}/v1/status`);
      const { finalAnswers } = (await status.json()) as { finalAnswers: { [source: string]: number } };
      expect(finalAnswers.CLOUD).toBeGreaterThan(0);
    }
    const metrics = await metricsOf(stack.bridge);
    expect(metrics.split("\n").filter((line) => line.startsWith("tributary_bridge_refused_total{"))).toEqual([]);
    for (const stream of ["frames", "predictions", "metrics", "sketches", "reported"]) {
      expect(metrics).toMatch(new RegExp(`^tributary_bridge_.*stream="${stream}".* [1-9]`, "m"));
    }
  });

  test("when today's agent takes the place of each, then it continues with the stored state, applies what was pending, and rolls back", async () => {
    for (const { agent, updates } of kept) {
      const before = await reportedOf(agent);
      expect(before.slots.perception?.modelDigest).toBe(digests[updates ? "2.0.0" : "1.0.0"]);
      await agent.part.stop();
      const received = await receivedInPlaceOf(agent);
      expect(received.some(({ channel }) => channel === "desired")).toBe(updates);
      for (const { payload } of received) {
        expect(before.acceptedSchemas).toContain(openSingleObject(payload).fingerprint);
      }
      replaced.push(await inPlaceOf(agent));
      const what = `a report of today's agent on ${agent.deviceId}`;
      const isReported = async () => (await reportedOf(agent)).bootId !== before.bootId;
      await waitFor(isReported, { what, timeoutMs: STEP_MS, everyMs: 100 });
    }
    await untilOn(
      "2.0.0",
      kept.map(({ agent }) => agent),
    );
    // Back is a newer generation (G6).
    await gateway.rollouts.command({ uid: rolledOut, body: { command: "undo", by: "test" } });
    await until(rolledOut, "a rollout that is rolled back", ({ isBack }) => isBack);
    await untilOn("1.0.0", following());
  });

  test("then no frame was lost or answered twice, over rollouts and the change of agents", async () => {
    expect(await answeredUntil(Date.now())).toMatchObject({ duplicates: 0, contradictions: 0 });
  });

  /** When every frame that was captured before then has its answer. */
  function answeredUntil(openSince: number): Promise<Account> {
    const run = { ...stack, from: stack.began, ledgers: stack.agents };
    const look = async () => {
      const account = await accountOf(run);
      return lossesOf(account, { openSince }).lost.length === 0 && account;
    };
    return waitFor(look, { what: "an answer to every frame", timeoutMs: STEP_MS, everyMs: 500 });
  }

  function desiredOf(deviceId: string, modelVersion: string): OutRecord {
    const { perception } = someDesired().slots;
    const model = { modelName: MODEL, modelVersion, modelDigest: digests[modelVersion] as Digest };
    const slots = { perception: { ...(perception as DesiredModel), ...model, probationFrames: 5 } };
    const value = topics.desired.codec.encodeConfluent(someDesired({ deviceId, slots }));
    return { topic: topics.desired.name, key: deviceId, value };
  }

  /** A subscriber with the device's own password, while its agent is stopped, gets its messages. */
  async function receivedInPlaceOf({ deviceId }: DeviceAgent): Promise<readonly Received[]> {
    const subscriber = await RawDevice.connect(stack.mqttUrl, await stack.devices.register(deviceId));
    try {
      const received = await subscriber.subscribe();
      await subscriber.sendValidFrame();
      await waitFor(() => received.some(({ channel }) => channel === "results"), {
        what: "its answer",
        timeoutMs: STEP_MS,
      });
      return received;
    } finally {
      await subscriber.close();
    }
  }

  /** On the same data, with the same file and what today's knows beside it. */
  async function inPlaceOf({ deviceId }: DeviceAgent): Promise<SpawnedService> {
    const fileOf = (name: string) => JSON.parse(readFileSync(join(stack.dir, `${name}.yaml`), "utf8"));
    const config = { ...fileOf(deviceId), models: fileOf(today.deviceId).models, cores: "shared" };
    return spawnService({ name: `${deviceId}-today`, main: mains.agent, dir: dir.path, config, readyMsMax: STEP_MS });
  }
});
