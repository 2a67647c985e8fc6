/** What unauthenticated clients and devices do at the bridge's MQTT port: each is a class of attempts with an authenticated control. */
import { EdgePredictions, mqttTopics } from "@tributary/contracts";
import { invariant } from "@tributary/kernel";
import { somePredictions } from "@tributary/testing";
import type { Attempt, StrangerClass } from "./classes.ts";
import { type Hello, hello, login, publish, type Reply, subscribe, TYPE, Wire } from "./wire.ts";
import type { World } from "./world.ts";

const down = mqttTopics();

/** A device is one connection: a try takes one, and returns it. The longest unused is next. */
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
const attemptOf = (reply: Reply): Attempt => {
  if (reply === "closed") return { refused: "closed" };
  if (reply.type === TYPE.connack) return reply.code === 0 ? "accepted" : { refused: `CONNACK ${reply.code}` };
  return { refused: `packet ${reply.type}` };
};

/** Series of the bridge by which it counts what it refuses. */
export const counted = {
  refusedConnect: (code: string) => `tributary_bridge_connects_refused_total{code="${code}"}`,
  cut: (code: string) => `tributary_bridge_connections_cut_total{code="${code}"}`,
  deadLetter: (code: string, stream: string) => `tributary_bridge_refused_total{code="${code}",stream="${stream}"}`,
  subscribe: "tributary_bridge_subscribes_refused_total",
  mqttFault: "tributary_bridge_mqtt_faults_total",
} as const;

let seq = 0n;
export const predictionsOf = (deviceId: string): Buffer =>
  EdgePredictions.encodeSingleObject(somePredictions({ deviceId, seq: ++seq }));

export class MqttActs {
  readonly #world: World;
  readonly #good: Pool;
  readonly #rogues: Pool;

  /** `good`, `rogues`: benign devices, and hostile ones. */
  constructor(world: World, good: readonly string[], rogues: readonly string[]) {
    this.#world = world;
    this.#good = new Pool(good);
    this.#rogues = new Pool(rogues);
  }

  /** An unauthenticated client sends bytes on a new connection. */
  sends(name: string, counted: string, bytes: (i: number) => Buffer): StrangerClass {
    return this.#classOf(name, counted, this.#twinLogin, async (i) => {
      const wire = await Wire.open(this.#world.port, addressOf(i));
      const reply = await wire.ask(bytes(i));
      wire.close();
      return attemptOf(reply);
    });
  }

  connects(name: string, code: string, who: (i: number) => Hello): StrangerClass {
    return this.sends(name, counted.refusedConnect(code), (i) => hello(who(i)));
  }

  /** An authenticated device connects once more on its connection. */
  connectsAgain(name: string, as: Hello): StrangerClass {
    return this.#classOf(name, counted.mqttFault, this.#twinLogin, async (i) =>
      attemptOf(await this.#asDevice(this.#rogues, addressOf(i), () => hello(as))),
    );
  }

  subscribes(name: string, filter: (i: number) => string | Buffer): StrangerClass {
    return this.#classOf(name, counted.subscribe, this.#twinSubscribe, async (i) => {
      const reply = await this.#asDevice(this.#rogues, addressOf(i), () => subscribe(filter(i)));
      if (reply === "closed") return { refused: "closed" };
      return reply.code === 0x80 ? { refused: "SUBACK 128" } : "accepted";
    });
  }

  /** `of`: whose record it is; its own unless named. */
  publishes(
    name: string,
    counted: string,
    topic: (rogue: string, i: number) => string | Buffer,
    of?: string,
  ): StrangerClass {
    return this.#classOf(name, counted, this.#twinPublish, async (i) => {
      const reply = await this.#asDevice(this.#rogues, addressOf(i), (rogue) =>
        publish(topic(rogue, i), predictionsOf(of ?? rogue)),
      );
      return reply === "closed" ? { refused: "closed" } : { refused: "acknowledged as a dead letter" };
    });
  }

  #classOf(
    name: string,
    counted: string,
    twin: StrangerClass["twin"],
    attempt: StrangerClass["attempt"],
  ): StrangerClass {
    return { name: `mqtt: ${name}`, counted, metricsUrl: this.#world.metricsUrl, twin, attempt };
  }

  readonly #twinLogin = () =>
    this.#good.with(async (deviceId) => {
      const session = await login(this.#world.port, this.#world.device(deviceId), "127.1.0.1");
      if (!(session instanceof Wire)) return false;
      session.close();
      return true;
    });

  readonly #twinPublish = async () => {
    const reply = await this.#asDevice(this.#good, "127.1.0.2", (deviceId) =>
      publish(down.up(deviceId, "predictions"), predictionsOf(deviceId)),
    );
    return reply !== "closed" && reply.type === TYPE.puback;
  };

  readonly #twinSubscribe = async () => {
    const reply = await this.#asDevice(this.#good, "127.1.0.3", (deviceId) =>
      subscribe(`tributary/v1/${deviceId}/down/#`),
    );
    return reply !== "closed" && reply.type === TYPE.suback && reply.code !== 0x80;
  };

  /** Of an authenticated device: what it sends and what is returned, then it disconnects. */
  #asDevice(of: Pool, address: string, bytes: (deviceId: string) => Buffer): Promise<Reply> {
    return of.with(async (deviceId) => {
      const session = await login(this.#world.port, this.#world.device(deviceId), address);
      if (!(session instanceof Wire)) throw new Error(`${deviceId} is not accepted: ${JSON.stringify(session)}`);
      const reply = await session.ask(bytes(deviceId));
      session.close();
      return reply;
    });
  }
}
