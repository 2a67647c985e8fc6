/**
 * Strangers at the bridge's MQTT port, and devices that want what is not theirs.
 *
 * Whether a try was accepted is seen from outside: a CONNACK or SUBACK that grants. A publication that is refused is
 * acknowledged all the same (G8); so that one counts as refused here, and `storedForVictim` counts what was stored.
 */
import { randomBytes } from "node:crypto";
import { mqttTopics, topics } from "@tributary/contracts";
import type { StrangerClass } from "./classes.ts";
import { counted, MqttActs, predictionsOf } from "./mqtt-acts.ts";
import { hello, packet, publish } from "./wire.ts";
import type { World } from "./world.ts";

/** Benign devices, and hostile ones. */
export const GOOD = Array.from({ length: 300 }, (_, i) => `good-${i}`);
const ROGUES = Array.from({ length: 300 }, (_, i) => `rogue-${i}`);
const VICTIM = "victim";
const REVOKED = "revoked";
const down = mqttTopics();

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

const at = <T>(list: readonly T[], i: number): T => list[i % list.length] as T;
const junk = () => randomBytes(12).toString("base64url");

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
  const acts = new MqttActs(world, GOOD, ROGUES);
  return [
    ...wrongNames(acts, world),
    ...wrongFirstPackets(acts, world),
    ...foreignFilters(acts),
    ...foreignTopics(acts),
    acts.connectsAgain("a second CONNECT as another device", world.device(VICTIM)),
  ];
}

function wrongNames(acts: MqttActs, world: World): readonly StrangerClass[] {
  const victim = world.device(VICTIM);
  return [
    acts.connects("a name that nobody has", "device-unknown", (i) => {
      const name = `ghost-${i}-${junk()}`;
      return { clientId: name, user: name, password: junk() };
    }),
    acts.connects("a device's name, guessed passwords", "password-wrong", () => ({ ...victim, password: junk() })),
    acts.connects("a revoked device with its password", "device-revoked", () => world.device(REVOKED)),
    acts.connects("a device's password under another's name", "password-wrong", (i) => ({
      ...victim,
      password: world.device(at(ROGUES, i)).password,
    })),
    acts.connects("client id of one, user and password of another", "client-id-not-user", (i) => ({
      ...world.device(at(ROGUES, i)),
      clientId: VICTIM,
    })),
    acts.connects("no password", "password-missing", () => ({ clientId: VICTIM, user: VICTIM })),
    acts.connects("names that are none", "client-id-malformed", (i) => {
      const name = at(oddIds, i);
      return { clientId: name, user: name, password: junk() };
    }),
    acts.sends("names with NUL or bad UTF-8", counted.cut("connect-not-utf8"), (i) =>
      hello({ clientId: at(notUtf8, i), user: VICTIM, password: junk() }),
    ),
  ];
}

function wrongFirstPackets(acts: MqttActs, world: World): readonly StrangerClass[] {
  const victim = world.device(VICTIM);
  return [
    acts.connects("last wills to foreign topics", "will-not-availability", (i) => ({
      ...world.device(at(ROGUES, i)),
      will: { topic: at(wills, i), payload: "offline" },
    })),
    acts.sends("last wills with NUL or bad UTF-8", counted.cut("connect-not-utf8"), (i) => {
      const topic = Buffer.concat([Buffer.from("tributary/v1/"), at(notUtf8, i), Buffer.from("/availability")]);
      return hello({ ...world.device(at(ROGUES, i)), will: { topic, payload: "offline" } });
    }),
    acts.sends("versions that are not spoken", counted.refusedConnect("protocol-unsupported"), (i) =>
      hello({ ...world.device(at(ROGUES, i)), level: at([5, 0, 2, 9], i) }),
    ),
    acts.sends("messages before CONNECT", counted.cut("connect-expected"), () =>
      publish(down.up(VICTIM, "predictions"), predictionsOf(VICTIM)),
    ),
    acts.sends("messages behind a refused CONNECT", counted.refusedConnect("password-wrong"), () =>
      Buffer.concat([
        hello({ ...victim, password: junk() }),
        publish(down.up(VICTIM, "predictions"), predictionsOf(VICTIM)),
      ]),
    ),
    acts.sends("a browser", counted.cut("connect-expected"), () =>
      Buffer.from("POST / HTTP/1.1\r\nHost: bridge\r\nContent-Length: 0\r\n\r\n"),
    ),
    acts.sends("CONNECT larger than any", counted.cut("connect-oversized"), () => packet(0x10, Buffer.alloc(20_000))),
    acts.sends("CONNECT with a wrong password length", counted.cut("connect-malformed"), (i) => {
      const bytes = hello({ ...victim, password: junk() });
      bytes[bytes.length - 17] = at([3, 255], i); // the password's length: fewer bytes than there are, and more
      return bytes;
    }),
  ];
}

function foreignFilters(acts: MqttActs): readonly StrangerClass[] {
  return [
    acts.subscribes("another's downlink, and wildcards", (i) => at(filters, i)),
    acts.subscribes("filters with NUL or bad UTF-8", (i) =>
      Buffer.concat([Buffer.from("tributary/v1/"), at(notUtf8, i), Buffer.from("/down/#")]),
    ),
  ];
}

function foreignTopics(acts: MqttActs): readonly StrangerClass[] {
  return [
    acts.publishes(
      "another's topic",
      counted.deadLetter("topic-of-another-device", "predictions"),
      () => down.up(VICTIM, "predictions"),
      VICTIM,
    ),
    acts.publishes(
      "another's record on its own topic",
      counted.deadLetter("payload-of-another-device", "predictions"),
      (of) => down.up(of, "predictions"),
      VICTIM,
    ),
    acts.publishes("topics with NUL or bad UTF-8", counted.deadLetter("topic-malformed", "unknown"), (of, i) =>
      Buffer.concat([Buffer.from(`${down.up(of, "predictions")}`), at(notUtf8, i)]),
    ),
    acts.publishes(
      "topics that are wildcards",
      counted.mqttFault,
      (_of, i) => at(["tributary/v1/+/up/predictions", "#", "tributary/v1/#"], i),
      VICTIM,
    ),
  ];
}
