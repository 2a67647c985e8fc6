/** A bridge with the drill's own fleet, whose registrations the drill writes; and the bridge's counters. */
import { createHmac, randomBytes, scryptSync } from "node:crypto";
import { join } from "node:path";
import { topics } from "@tributary/contracts";
import { ensureTributaryTopics, KafkajsAdmin, KafkajsSink, KafkaReader, readTopic } from "@tributary/kafka";
import { seriesOf } from "@tributary/stack";
import { freePort, type SpawnedService, someRegistration, spawnService } from "@tributary/testing";
import type { Hello } from "./wire.ts";

/** How a password is hashed: as the gateway does, or as it did before ADR 30. */
export type Kept = "hmac-sha256" | "scrypt";

const BATCH = 500;

export class World {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly reader: KafkaReader;
  readonly #dir: string;
  readonly #sink: KafkajsSink;
  readonly #passwords = new Map<string, string>();
  #bridge: SpawnedService | undefined;
  #port = 0;
  #starts = 0;

  private constructor(dir: string, brokers: readonly string[], prefix: string) {
    this.#dir = dir;
    this.brokers = brokers;
    this.prefix = prefix;
    this.reader = new KafkaReader({ brokers: [...brokers], prefix, clientId: "chaos-reader" });
    this.#sink = new KafkajsSink({ brokers: [...brokers], prefix, clientId: "chaos-sink" });
  }

  static async open(dir: string, brokers: readonly string[], prefix = "strangers."): Promise<World> {
    const admin = new KafkajsAdmin({ brokers: [...brokers], prefix, clientId: "chaos-admin" });
    await ensureTributaryTopics(admin, { partitions: 2 });
    await admin.close();
    return new World(dir, brokers, prefix);
  }

  get port(): number {
    return this.#port;
  }

  get metricsUrl(): string {
    return `http://127.0.0.1:${this.#bridge?.ports.http}/metrics`;
  }

  async startBridge(): Promise<void> {
    this.#port ||= await freePort();
    this.#bridge = await spawnService({
      name: `bridge-${++this.#starts}`,
      main: "edge/bridge/dist/main.js",
      dir: this.#dir,
      config: {
        kafka: { brokers: this.brokers, prefix: this.prefix },
        http: { port: 0 },
        log: { level: "warn" },
        mqtt: { host: "127.0.0.1", port: this.#port },
      },
      readyMsMax: 60_000,
    });
  }

  stopBridge(): Promise<unknown> {
    return this.#bridge?.stop(5_000) ?? Promise.resolve();
  }

  async register(deviceIds: readonly string[], kept: Kept, status: "ACTIVE" | "REVOKED" = "ACTIVE"): Promise<void> {
    const records = deviceIds.map((deviceId) => {
      const password = randomBytes(24).toString("base64url");
      this.#passwords.set(deviceId, password);
      const registration = someRegistration({ deviceId, status, passwordHash: hashOf(password, kept) });
      return { topic: topics.registry.name, key: deviceId, value: topics.registry.codec.encodeConfluent(registration) };
    });
    for (let i = 0; i < records.length; i += BATCH) await this.#sink.send(records.slice(i, i + BATCH));
  }

  /** Its name and password. */
  device(deviceId: string): Hello & { readonly clientId: string; readonly password: string } {
    return { clientId: deviceId, user: deviceId, password: this.#passwords.get(deviceId) ?? "" };
  }

  /** Every metric of the bridge, by its series. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    return seriesOf(await (await fetch(this.metricsUrl)).text());
  }

  /** Records of a topic by a key. */
  async recordsOf(topic: string, key: string): Promise<number> {
    let records = 0;
    for await (const record of readTopic(this.reader, topic)) if (record.key === key) records++;
    return records;
  }

  async close(): Promise<void> {
    await this.stopBridge();
    await Promise.all([this.reader.close(), this.#sink.close()]);
  }

  get logFolder(): string {
    return join(this.#dir);
  }
}

function hashOf(password: string, kept: Kept): string {
  const salt = randomBytes(16);
  if (kept === "hmac-sha256") {
    const hash = createHmac("sha256", salt).update(password).digest();
    return `hmac-sha256$${salt.toString("base64")}$${hash.toString("base64")}`;
  }
  const hash = scryptSync(password, salt, 32, { N: 16_384, r: 8, p: 1 });
  return `scrypt$16384$8$1$${salt.toString("base64")}$${hash.toString("base64")}`;
}
