/**
 * Strangers at the bridge's MQTT port, and devices that want what is not theirs.
 *
 * Whether a try was accepted is seen from outside: a CONNACK or SUBACK that grants. A publication that is refused is
 * acknowledged all the same (G8); so that one counts as refused here, and `storedForVictim` says whether it was.
 */
import { randomBytes } from "node:crypto";
import { EdgePredictions, mqttTopics, topics } from "@tributary/contracts";
import { invariant } from "@tributary/kernel";
import { somePredictions } from "@tributary/testing";
import type { Attempt, StrangerClass } from "./classes.ts";
import { type Heard, type Hello, hello, login, packet, publish, subscribe, TYPE, Wire } from "./wire.ts";
import type { World } from "./world.ts";

/** Devices that do what is right, and those that do not. */
export const GOOD = Array.from({ length: 300 }, (_, i) => `good-${i}`);
const ROGUES = Array.from({ length: 300 }, (_, i) => `rogue-${i}`);
const VICTIM = "victim";
const REVOKED = "revoked";
const down = mqttTopics();

const at = <T>(list: readonly T[], i: number): T => list[i % list.length] as T;
/** A device is one connection: who wants one takes it, and gives it back. The longest unused is next. */
class Pool {
  readonly #free: string[];

  constructor(names: readonly string[]) {
    this.#free = [...names];
  }

  async with<T>(act: (deviceId: string) => Promise<T>): Promise<T> {
    const deviceId = this.#free.shift();
    invariant(deviceId !== undefined, "more tries at once than devices");
    try {
      return await act(deviceId);
    } finally {
      this.#free.push(deviceId);
    }
  }
}

const addressOf = (i: number) => `127.9.${(i >> 7) & 255}.${1 + (i & 127)}`;
const junk = () => randomBytes(12).toString("base64url");
const told = (heard: Heard): Attempt => {
  if (heard === "closed") return { refused: "closed" };
  if (heard.type === TYPE.connack) return heard.code === 0 ? "accepted" : { refused: `CONNACK ${heard.code}` };
  return { refused: `packet ${heard.type}` };
};

export async function prepareFleet(world: World): Promise<void> {
  await world.register([...GOOD, ...ROGUES, VICTIM], "hmac-sha256");
  await world.register([REVOKED], "hmac-sha256", "REVOKED");
}

/** Records of the victim in Kafka; nobody had its password, so that each is a try that was accepted. */
export async function storedForVictim(world: World): Promise<number> {
  const streams = [topics.predictions, topics.frames, topics.metrics];
  const counts = await Promise.all(streams.map(({ name }) => world.recordsOf(name, VICTIM)));
  return counts.reduce((sum, count) => sum + count, 0);
}

export function mqttClasses(world: World): readonly StrangerClass[] {
  const { port } = world;
  let seq = 0n;

  const [good, rogues] = [new Pool(GOOD), new Pool(ROGUES)];
  const twinLogin = () =>
    good.with(async (deviceId) => {
      const session = await login(port, world.device(deviceId), "127.1.0.1");
      if (!(session instanceof Wire)) return false;
      session.close();
      return true;
    });
  /** Of a device that is let in: what it sends and what comes back, then it goes. */
  const asDevice = (of: Pool, address: string, bytes: (deviceId: string) => Buffer): Promise<Heard> =>
    of.with(async (deviceId) => {
      const session = await login(port, world.device(deviceId), address);
      if (!(session instanceof Wire)) throw new Error(`${deviceId} is not let in: ${JSON.stringify(session)}`);
      const heard = await session.ask(bytes(deviceId));
      session.close();
      return heard;
    });
  const predictions = (deviceId: string) =>
    EdgePredictions.encodeSingleObject(somePredictions({ deviceId, seq: ++seq }));
  const twinPublish = async () => {
    const heard = await asDevice(good, "127.1.0.2", (deviceId) =>
      publish(down.up(deviceId, "predictions"), predictions(deviceId)),
    );
    return heard !== "closed" && heard.type === TYPE.puback;
  };
  const twinSubscribe = async () => {
    const heard = await asDevice(good, "127.1.0.3", (deviceId) => subscribe(`tributary/v1/${deviceId}/down/#`));
    return heard !== "closed" && heard.type === TYPE.suback && heard.code !== 0x80;
  };

  const refused = (code: string) => `tributary_bridge_connects_refused_total{code="${code}"}`;
  const cut = (code: string) => `tributary_bridge_connections_cut_total{code="${code}"}`;
  const dead = (code: string, stream: string) => `tributary_bridge_refused_total{code="${code}",stream="${stream}"}`;
  const make = (
    name: string,
    counted: string,
    twin: StrangerClass["twin"],
    attempt: StrangerClass["attempt"],
  ): StrangerClass => ({ name: `mqtt: ${name}`, counted, metricsUrl: world.metricsUrl, twin, attempt });
  const says = (name: string, counted: string, bytes: (i: number) => Buffer) =>
    make(name, counted, twinLogin, async (i) => {
      const wire = await Wire.open(port, addressOf(i));
      const heard = await wire.ask(bytes(i));
      wire.close();
      return told(heard);
    });
  const connects = (name: string, code: string, who: (i: number) => Hello) =>
    says(name, refused(code), (i) => hello(who(i)));
  const subscribes = (name: string, filter: (i: number) => string | Buffer) =>
    make(name, "tributary_bridge_subscribes_refused_total", twinSubscribe, async (i) => {
      const heard = await asDevice(rogues, addressOf(i), () => subscribe(filter(i)));
      if (heard === "closed") return { refused: "closed" };
      return heard.code === 0x80 ? { refused: "SUBACK 128" } : "accepted";
    });
  const publishes = (name: string, counted: string, topic: (of: string, i: number) => string | Buffer, of: string) =>
    make(name, counted, twinPublish, async (i) => {
      const heard = await asDevice(rogues, addressOf(i), (rogue) =>
        publish(topic(rogue, i), predictions(of === "itself" ? rogue : VICTIM)),
      );
      return heard === "closed" ? { refused: "closed" } : { refused: "acknowledged as a dead letter" };
    });

  const victim = world.device(VICTIM);
  const oddIds = ["a/b", "#", "+", "$SYS", "..", "__proto__", "", "a b", "victim ", "vïctim", "x".repeat(65)];
  const notUtf8 = [
    Buffer.from("vic\0im"),
    Buffer.from([0x76, 0xff]),
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from([0xc0, 0xaf]),
  ];
  const filters = [
    "#",
    "+/#",
    "$SYS/#",
    "tributary/#",
    "tributary/v1/+/down/#",
    "tributary/v1/victim/down/#",
    "tributary/v1/victim/down/results",
    "tributary/v1/victim/up/frames",
    "tributary/v1/victim/availability",
  ];
  const wills = [`tributary/v1/${VICTIM}/availability`, down.up(VICTIM, "frames"), "$SYS/broker", "plant/4"];

  return [
    connects("a name that nobody has", "device-unknown", (i) => {
      const name = `ghost-${i}-${junk()}`;
      return { clientId: name, user: name, password: junk() };
    }),
    connects("a device's name, guessed passwords", "password-wrong", () => ({ ...victim, password: junk() })),
    connects("a revoked device with its password", "device-revoked", () => world.device(REVOKED)),
    connects("a device's password under another's name", "password-wrong", (i) => ({
      ...victim,
      password: world.device(at(ROGUES, i)).password,
    })),
    connects("client id of one, user and password of another", "client-id-not-user", (i) => ({
      ...world.device(at(ROGUES, i)),
      clientId: VICTIM,
    })),
    connects("no password", "password-missing", () => ({ clientId: VICTIM, user: VICTIM })),
    connects("names that are none", "client-id-malformed", (i) => {
      const name = at(oddIds, i);
      return { clientId: name, user: name, password: junk() };
    }),
    says("names with NUL or bad UTF-8", cut("connect-not-utf8"), (i) =>
      hello({ clientId: at(notUtf8, i), user: VICTIM, password: junk() }),
    ),
    connects("last wills to foreign topics", "will-not-availability", (i) => ({
      ...world.device(at(ROGUES, i)),
      will: { topic: at(wills, i), payload: "offline" },
    })),
    says("last wills with NUL or bad UTF-8", cut("connect-not-utf8"), (i) => {
      const topic = Buffer.concat([Buffer.from("tributary/v1/"), at(notUtf8, i), Buffer.from("/availability")]);
      return hello({ ...world.device(at(ROGUES, i)), will: { topic, payload: "offline" } });
    }),
    says("versions that are not spoken", refused("protocol-unsupported"), (i) =>
      hello({ ...world.device(at(ROGUES, i)), level: at([5, 0, 2, 9], i) }),
    ),
    says("messages before CONNECT", cut("connect-expected"), () =>
      publish(down.up(VICTIM, "predictions"), predictions(VICTIM)),
    ),
    says("messages behind a refused CONNECT", refused("password-wrong"), () =>
      Buffer.concat([
        hello({ ...victim, password: junk() }),
        publish(down.up(VICTIM, "predictions"), predictions(VICTIM)),
      ]),
    ),
    says("a browser", cut("connect-expected"), () =>
      Buffer.from("POST / HTTP/1.1\r\nHost: bridge\r\nContent-Length: 0\r\n\r\n"),
    ),
    says("CONNECT larger than any", cut("connect-oversized"), () => packet(0x10, Buffer.alloc(20_000))),
    says("CONNECT that lies about itself", cut("connect-malformed"), (i) => {
      const bytes = hello({ ...victim, password: junk() });
      bytes[bytes.length - 17] = at([3, 255], i); // the password's length: fewer bytes than there are, and more
      return bytes;
    }),
    subscribes("another's downlink, and wildcards", (i) => at(filters, i)),
    subscribes("filters with NUL or bad UTF-8", (i) =>
      Buffer.concat([Buffer.from("tributary/v1/"), at(notUtf8, i), Buffer.from("/down/#")]),
    ),
    publishes(
      "another's topic",
      dead("topic-of-another-device", "predictions"),
      () => down.up(VICTIM, "predictions"),
      VICTIM,
    ),
    publishes(
      "another's record on its own topic",
      dead("payload-of-another-device", "predictions"),
      (of) => down.up(of, "predictions"),
      VICTIM,
    ),
    publishes(
      "topics with NUL or bad UTF-8",
      dead("topic-malformed", "unknown"),
      (of, i) => Buffer.concat([Buffer.from(`${down.up(of, "predictions")}`), at(notUtf8, i)]),
      "itself",
    ),
    publishes(
      "topics that are wildcards",
      "tributary_bridge_mqtt_faults_total",
      (_of, i) => at(["tributary/v1/+/up/predictions", "#", "tributary/v1/#"], i),
      VICTIM,
    ),
    make("a second CONNECT as another device", "tributary_bridge_mqtt_faults_total", twinLogin, async (i) =>
      told(await asDevice(rogues, addressOf(i), () => hello(victim))),
    ),
  ];
}
