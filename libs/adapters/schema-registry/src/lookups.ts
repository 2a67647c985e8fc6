/**
 * Looks up schemas in a registry that records name and this process does not know: those of a newer build.
 *
 * Each schema is looked up once; concurrent callers share a call. Only after an outage it is repeated. The rate of calls and
 * the number of remembered ids are bounded (G9): a flood of unknown records causes no flood of calls. Nothing is thrown: records
 * of an unknown schema become dead letters. */
import { fingerprintOf, type Topic } from "@tributary/contracts";
import { type Clock, Failure, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type { SchemaRegistryClient } from "./client.ts";
import { schemaLookedUp } from "./events.ts";

export type LookupTopic = Pick<Topic, "name" | "codec">;

export type LookupsOptions = {
  readonly client: SchemaRegistryClient;
  readonly prefix: string;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Outcome = readonly [outcome: string, reason: string];

const BURST = 10;
const REFILL_MS = 5_000;
const REMEMBERED_MAX = 1_000;
const VERSIONS_MAX = 20;

export class Lookups {
  readonly #options: LookupsOptions;
  /** Undefined: answered. */
  readonly #asked = new Map<string, Promise<void> | undefined>();
  #tokens = BURST;
  #tokensAt: number;

  constructor(options: LookupsOptions) {
    this.#options = options;
    this.#tokensAt = options.clock.monotonicMs();
  }

  /** Undefined: there is nothing to wait for. `ours` is the id under which the topic's codec will know it. */
  byId(topic: LookupTopic, theirs: number, ours: number): Promise<void> | undefined {
    return this.#once(topic, String(theirs), async () => {
      if (theirs < 0) return ["unknown", "no id"];
      const schema = await this.#options.client.schemaById(theirs);
      if (schema === undefined) return ["unknown", "the registry does not know it either"];
      return topic.codec.learn(ours, schema)
        ? ["learned", "learned from the registry"]
        : ["unreadable", `the registry's schema cannot be read as ${topic.codec.name}`];
    });
  }

  byFingerprint(topic: LookupTopic, fingerprint: string, toOurs: (id: number) => number): Promise<void> | undefined {
    return this.#once(topic, fingerprint, async () => {
      const { client, prefix } = this.#options;
      const subject = `${prefix}${topic.name}-value`;
      const versions = (await client.versionsOf(subject)) ?? [];
      for (const version of versions.slice(-VERSIONS_MAX).reverse()) {
        const { id, schema } = await client.version(subject, version);
        if (fingerprintOf(schema) !== fingerprint) continue;
        return topic.codec.learn(toOurs(id), schema)
          ? ["learned", `version ${version} of ${subject}`]
          : ["unreadable", `version ${version} of ${subject} cannot be read as ${topic.codec.name}`];
      }
      return ["unknown", `${subject} has no such schema`];
    });
  }

  #once(topic: LookupTopic, schema: string, ask: () => Promise<Outcome>): Promise<void> | undefined {
    const key = `${topic.name} ${schema}`;
    if (this.#asked.has(key)) return this.#asked.get(key);
    const report = (outcome: string, reason: string) =>
      this.#options.telemetry.emit(schemaLookedUp, { topic: topic.name, schema, outcome, reason });
    if (!this.#takeToken()) {
      report("skipped", "too many others were asked for");
      return undefined;
    }
    const lookup = ask().then(
      ([outcome, reason]) => {
        this.#asked.set(key, undefined);
        report(outcome, reason);
      },
      (error) => {
        if (error instanceof Failure && error.advice === "retry") this.#asked.delete(key);
        else this.#asked.set(key, undefined);
        report(error instanceof Failure ? error.code : "failed", reasonOf(error));
      },
    );
    this.#asked.set(key, lookup);
    if (this.#asked.size > REMEMBERED_MAX) {
      const [oldest] = this.#asked.keys();
      if (oldest !== undefined) this.#asked.delete(oldest);
    }
    return lookup;
  }

  #takeToken(): boolean {
    const now = this.#options.clock.monotonicMs();
    const refilled = Math.floor((now - this.#tokensAt) / REFILL_MS);
    if (refilled > 0) {
      this.#tokens = Math.min(BURST, this.#tokens + refilled);
      this.#tokensAt += refilled * REFILL_MS;
    }
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }
}
