/**
 * A registry that is not ours: its ids are in Kafka, ours everywhere inside, exchanged where records enter and leave.
 *
 * A process waits for `ready` before it reads or writes anything: a record with a wrong id is worse than none. A registry
 * that is unavailable, or answers with something else, is retried with backoff without end; health has the reason. A conflict,
 * or a refusal, rejects `ready`, and the process ends: only a person can decide which schema is right. Schemas of a newer build
 * or a newer device are looked up once (lookups.ts) and kept. */
import { topics as ourTopics } from "@tributary/contracts";
import { backoffMs, type Clock, Failure, type Random, reasonOf, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { type SchemaRegistryAccess, type SchemaRegistryClient, schemaRegistryClient } from "./client.ts";
import { schemaRegistered, schemaRegistryAway, schemaRegistryInUse, schemaRegistryRefused } from "./events.ts";
import { IdSwap, idIn, withId } from "./id-swap.ts";
import { Lookups, type LookupTopic } from "./lookups.ts";
import { syncSubjects } from "./sync.ts";

export type ExternalSchemaRegistryOptions = {
  readonly schemaRegistry: SchemaRegistryAccess & { readonly autoRegister: boolean };
  /** The deployment's, as in topic names. */
  readonly prefix: string;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly client?: SchemaRegistryClient;
  readonly topics?: readonly LookupTopic[];
};

const BACKOFF = { minMs: 500, maxMs: 15_000 };

/** Dead letters of what a consumer read have its ids; those of the bridge are a device's bytes. */
const DEAD_LETTERS = /^(.*)\.(?!bridge\.)[^.]+\.dlq$/;

export class ExternalSchemaRegistry {
  readonly #options: ExternalSchemaRegistryOptions;
  readonly #client: SchemaRegistryClient;
  readonly #clock: Clock;
  readonly #topics: readonly LookupTopic[];
  readonly #ready = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #lookups: Lookups;
  #swaps: ReadonlyMap<string, IdSwap> | undefined;
  #health: true | string = "asking the schema registry";

  constructor(options: ExternalSchemaRegistryOptions) {
    this.#options = options;
    this.#client = options.client ?? schemaRegistryClient(options.schemaRegistry);
    this.#clock = options.clock ?? systemClock;
    this.#topics = options.topics ?? Object.values(ourTopics);
    const { prefix, telemetry } = options;
    this.#lookups = new Lookups({ client: this.#client, prefix, telemetry, clock: this.#clock });
    this.#ready.promise.catch(() => {});
  }

  /** True, or why records are neither read nor written yet. */
  get health(): true | string {
    return this.#health;
  }

  start(): void {
    void this.#agree();
  }

  close(): void {
    this.#stop.abort();
    this.#ready.reject(new Failure("schema-registry-closed", "give-up", "closed before the schema registry answered"));
  }

  ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** The registry's id of one of ours. */
  idOf(topicName: string, ours: number): number {
    return this.#swaps?.get(topicName)?.toTheirs(ours) ?? ours;
  }

  toKafka(topicName: string, value: Buffer): Buffer {
    const swap = this.#swapOf(topicName);
    const ours = idIn(value);
    if (swap === undefined || ours === undefined) return value;
    const theirs = swap.toTheirs(ours);
    return theirs === ours ? value : withId(value, theirs);
  }

  async fromKafka(topicName: string, value: Buffer): Promise<Buffer> {
    const swap = this.#swapOf(topicName);
    const theirs = idIn(value);
    if (swap === undefined || theirs === undefined) return value;
    const ours = swap.toOurs(theirs);
    const topic = this.#topicOf(topicName);
    if (topic?.codec.versions.every(({ id }) => id !== ours)) {
      await this.#lookups.byId(topic, theirs, ours);
    }
    return theirs === ours ? value : withId(value, ours);
  }

  /** Of the schema that a newer device sends by. Undefined: there is nothing to wait for. */
  learnFingerprint(topicName: string, fingerprint: string): Promise<void> | undefined {
    const topic = this.#topicOf(topicName);
    const swap = this.#swaps?.get(topicName);
    if (topic === undefined || swap === undefined) return undefined;
    return this.#lookups.byFingerprint(topic, fingerprint, (id) => swap.toOurs(id));
  }

  #swapOf(topicName: string): IdSwap | undefined {
    return this.#swaps?.get(DEAD_LETTERS.exec(topicName)?.[1] ?? topicName);
  }

  async #agree(): Promise<void> {
    const { schemaRegistry, prefix, telemetry, random = Math.random } = this.#options;
    for (let attempt = 0; !this.#stop.signal.aborted; attempt++) {
      try {
        const ids = await syncSubjects({
          client: this.#client,
          prefix,
          topics: this.#topics,
          autoRegister: schemaRegistry.autoRegister,
          onRegistered: (subject, id) => telemetry.emit(schemaRegistered, { subject, id }),
        });
        this.#swaps = new Map([...ids].map(([topic, theirsByOurs]) => [topic, new IdSwap(theirsByOurs)]));
        this.#health = true;
        telemetry.emit(schemaRegistryInUse, { url: this.#client.url, subjects: ids.size });
        this.#ready.resolve();
        return;
      } catch (error) {
        const { code, advice, message: reason } = asFailure(error);
        this.#health = reason;
        if (advice !== "retry") {
          telemetry.emit(schemaRegistryRefused, { code, reason });
          this.#ready.reject(error);
          return;
        }
        const waitMs = backoffMs(BACKOFF, attempt, random);
        telemetry.emit(schemaRegistryAway, { code, attempt, waitMs, reason });
        await this.#clock.sleep(waitMs, this.#stop.signal).catch(() => {});
      }
    }
  }

  #topicOf(topicName: string): LookupTopic | undefined {
    return this.#topics.find(({ name }) => name === topicName);
  }
}

const asFailure = (error: unknown): Failure =>
  error instanceof Failure ? error : new Failure("schema-registry-failed", "ask-a-person", reasonOf(error));
