/** The system behind a real Mosquitto with the shipped rules: one of two bridges is killed and stays down; the broker is killed
 * and restarts, without most of its messages. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { type Stack, shownBy, startStack, untilAnswered, verify } from "@tributary/stack";
import { type Mosquitto, startMosquitto, tempDir, testKafka, waitFor } from "@tributary/testing";

const FRAMES = 640;
const DEVICES = 4;
const MINUTE = 60_000;
const TRUSTING = ["device-3", "device-4"];
const names = ["bridge-1", "bridge-2", "probe", ...Array.from({ length: DEVICES }, (_, i) => `device-${i + 1}`)];
const users = Object.fromEntries(names.map((name) => [name, `pw-${name}`]));

const dir = tempDir("e2e-mosquitto");
const { brokers, prefix } = testKafka();
let mosquitto: Mosquitto;
let stack: Stack;

beforeAll(async () => {
  mosquitto = await startMosquitto({ dir: join(dir.path, "mosquitto"), users });
  stack = await startStack({
    dir: dir.path,
    kafka: { brokers, prefix, partitions: 4 },
    agents: { count: DEVICES, frames: FRAMES },
    mqtt: { url: mosquitto.url, bridges: 2, passwords: users, trusting: TRUSTING, ackTimeoutMs: 1_500 },
  });
}, 2 * MINUTE);

afterAll(async () => {
  await stack?.stop();
  await mosquitto?.stop();
  dir.remove();
}, MINUTE);

test(
  "who waits for Kafka's word loses nothing; the control, who trusts the broker's PUBACK, does",
  async () => {
    const [, second] = stack.bridges;
    const careful = stack.agents.filter(({ deviceId }) => !TRUSTING.includes(deviceId));
    const trusting = stack.agents.filter(({ deviceId }) => TRUSTING.includes(deviceId));
    await waitFor(() => second?.events().some(({ event }) => event === "ready"), { what: "the second bridge" });
    // By what the broker confirmed, not by time: on a slow machine the cameras may pause just here.
    const confirmed = () =>
      TRUSTING.reduce((sum, id) => sum + mosquitto.log().split(`Sending PUBACK to ${id} `).length - 1, 0);
    await waitFor(() => confirmed() >= 20, { what: "frames of the control before the kill" });
    await second?.kill();
    const before = confirmed();
    await waitFor(() => confirmed() >= before + 40, {
      what: "frames of the control that the dead bridge has a share of",
    });
    await mosquitto.kill();
    await mosquitto.start();
    const ofCareful = { ...stack, agents: careful };
    const isAnswered = await untilAnswered(ofCareful, (FRAMES / DEVICES) * careful.length, { silenceMsMax: MINUTE });
    // Nobody waited for these cameras, which are behind on a slow machine.
    const isShown = () => shownBy(trusting).length === (FRAMES / DEVICES) * trusting.length;
    await waitFor(isShown, { what: "every frame of the control", everyMs: 500 });
    const found = async (ledgers: typeof careful) => (await verify({ ...stack, from: stack.began, ledgers })).report;
    const [kept, lost] = [await found(careful), await found(trusting)];
    expect({ isAnswered, frames: kept.frames, lost: kept.lost, contradictions: kept.contradictions }).toEqual({
      isAnswered: true,
      frames: (FRAMES / DEVICES) * careful.length,
      lost: 0,
      contradictions: 0,
    });
    expect(lost.frames).toBe((FRAMES / DEVICES) * trusting.length);
    expect(lost.lost).toBeGreaterThan(0);
    console.log(`of ${kept.frames} frames each, lost: ${kept.lost} with Kafka's word, ${lost.lost} with PUBACK alone`);
  },
  4 * MINUTE,
);
