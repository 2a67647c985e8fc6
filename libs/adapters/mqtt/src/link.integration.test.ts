/** The link against a real broker: connections that end at any moment, refusals, acknowledgements that never come. */
import { createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { seededRandom, systemClock } from "@tributary/kernel";
import { Aedes } from "aedes";
import { MqttLink, type MqttLinkOptions } from "./link.ts";

let aedes: Aedes;
let server: Server;
let sockets: Set<Socket>;
let published: string[];
let link: MqttLink | undefined;

beforeEach(async () => {
  aedes = await Aedes.createBroker();
  published = [];
  sockets = new Set();
  aedes.authorizePublish = (_client, packet, callback) => {
    published.push(`${packet.topic} ${packet.payload}${packet.retain ? " retained" : ""}`);
    callback(null);
  };
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    aedes.handle(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});

afterEach(async () => {
  await link?.stop();
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => aedes.close(() => resolve()));
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

const notified: string[] = [];
function linkTo(changed: Partial<MqttLinkOptions> = {}): { readonly link: MqttLink; online(): Promise<void> } {
  notified.length = 0;
  const address = server.address() as { port: number };
  let waiting: (() => void) | undefined;
  const made = new MqttLink(
    {
      url: `mqtt://127.0.0.1:${address.port}`,
      clientId: "cam",
      username: "cam",
      password: "x",
      keepaliveSeconds: 30,
      connectTimeoutMs: 2_000,
      availabilityTopic: "cam/availability",
      subscriptions: ["cam/down"],
      backoff: { minMs: 10, maxMs: 50 },
      ...changed,
    },
    {
      onOnline: () => {
        notified.push("online");
        waiting?.();
      },
      onOffline: ({ refused }) => notified.push(refused ? "refused" : "offline"),
      onMessage: (topic, payload) => notified.push(`${topic} ${payload}`),
    },
    systemClock,
    seededRandom(1),
  );
  link = made;
  const online = () =>
    new Promise<void>((resolve) => {
      waiting = resolve;
    });
  return { link: made, online };
}

const publish = (text: string) =>
  new Promise<boolean>((resolve) => link?.publish("cam/up", Buffer.from(text), resolve));
const until = async (holds: () => boolean) => {
  for (let i = 0; i < 500 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(holds()).toBe(true);
};

describe("MQTT link", () => {
  test("link.ts L2, L3: publishes in order, receives subscribed messages, publishes online and offline", async () => {
    const { link, online } = linkTo();
    expect(await publish("before any connection")).toBe(false);
    const first = online();
    link.start();
    await first;
    expect(await Promise.all(["1", "2", "3"].map(publish))).toEqual([true, true, true]);
    aedes.publish(
      { cmd: "publish", qos: 1, dup: false, retain: false, topic: "cam/down", payload: "hello" },
      () => undefined,
    );
    await until(() => notified.includes("cam/down hello"));
    await link.stop();
    expect(published).toEqual([
      "cam/availability online retained",
      "cam/up 1",
      "cam/up 2",
      "cam/up 3",
      "cam/availability offline retained",
    ]);
  });

  test("link.ts L1, L2: an unacknowledged record of a broken connection is reported once and never resent by the link itself", async () => {
    const { link, online } = linkTo();
    aedes.authorizePublish = (_client, packet, callback) => {
      published.push(String(packet.payload));
      if (packet.topic === "cam/availability" || String(packet.payload) === "4") callback(null);
    };
    let next = online();
    link.start();
    await next;
    const outcomes = ["1", "2", "3"].map(publish);
    await until(() => published.includes("1"));
    next = online();
    for (const socket of sockets) socket.destroy();
    expect(await Promise.all(outcomes)).toEqual([false, false, false]);
    await next;
    // Records that the link had resent would have arrived before it.
    expect(await publish("4")).toBe(true);
    expect(published.filter((text) => text === "1").length).toBe(1);
    expect(notified.slice(0, 3)).toEqual(["online", "offline", "online"]);
  });

  test("link.ts L4: a refusing broker is retried, and distinguished from one that is unreachable", async () => {
    let isRefusing = true;
    aedes.authenticate = (_client, _user, _password, callback) => callback(null, !isRefusing);
    const { link, online } = linkTo();
    const first = online();
    link.start();
    await until(() => notified.filter((word) => word === "refused").length >= 2);
    isRefusing = false;
    await first;
  });

  test("stops while there is no broker", async () => {
    const { link } = linkTo({ url: "mqtt://127.0.0.1:9" });
    link.start();
    await until(() => notified.includes("offline"));
    await link.stop();
  });
});
