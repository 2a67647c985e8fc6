/**
 * A registry that is not ours: its ids stand in Kafka, ours everywhere inside, exchanged where records enter and leave.
 *
 * E1. A process waits for `ready` before it reads or writes anything: a record with a wrong id is worse than none.
 * E2. A registry that is away, or talks rubbish, is asked again with backoff for as long as it takes; health says why.
 * E3. A conflict, or a refusal, rejects `ready`, and the process ends: only a person can decide which schema is right.
 * E4. An id that is met and not known is asked for once: a newer writer's schema is learned, anything else goes the way of
 *     every unusable record. How often that may happen is bounded (G9), so a flood of such records is no flood of calls.
 */
import { topics as ourTopics, type Topic } from "@tributary/contracts";
import { backoffMs, type Clock, Failure, type Random, reasonOf, systemClock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { type RegistryAccess, type RegistryClient, registryClient } from "./client.ts";
import { registryAway, registryInUse, registryRefused, schemaLookedUp, schemaRegistered } from "./events.ts";
import { IdSwap, idIn, withId } from "./id-swap.ts";
import { syncSubjects } from "./sync.ts";

export type ExternalRegistryOptions = {
  readonly registry: RegistryAccess & { readonly autoRegister: boolean };
  /** The deployment's, as in topic names. */
  readonly prefix: string;
  readonly telemetry: Telemetry;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly client?: RegistryClient;
  readonly topics?: readonly Pick<Topic, "name" | "codec">[];
};

const BACKOFF = { minMs: 500, maxMs: 15_000 };
const LOOKUPS = { burst: 10, refillMs: 5_000, rememberedMax: 1_000 };

/** Dead letters of what a consumer read have its ids; those of the bridge are a device's bytes. */
const DEAD_LETTERS = /^(.*)\.(?!bridge\.)[^.]+\.dlq$/;

export class ExternalRegistry {
  readonly #options: ExternalRegistryOptions;
  readonly #client: RegistryClient;
  readonly #clock: Clock;
  readonly #topics: readonly Pick<Topic, "name" | "codec">[];
  readonly #ready = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #lookups = new Map<string, Promise<void>>();
  #swaps: ReadonlyMap<string, IdSwap> | undefined;
  #health: true | string = "asking the schema registry";
  #tokens = LOOKUPS.burst;
  #tokensAt: number;

  constructor(options: ExternalRegistryOptions) {
    this.#options = options;
    this.#client = options.client ?? registryClient(options.registry);
    this.#clock = options.clock ?? systemClock;
    this.#topics = options.topics ?? Object.values(ourTopics);
    this.#tokensAt = this.#clock.monotonicMs();
    this.#ready.promise.catch(() => {});
  }

  /** True, or why records neither come nor go yet. */
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

  /** E1, E3 */
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
    await this.#know(topicName, theirs, ours);
    return theirs === ours ? value : withId(value, ours);
  }

  #swapOf(topicName: string): IdSwap | undefined {
    return this.#swaps?.get(DEAD_LETTERS.exec(topicName)?.[1] ?? topicName);
  }

  async #agree(): Promise<void> {
    const { registry, prefix, telemetry, random = Math.random } = this.#options;
    for (let attempt = 0; !this.#stop.signal.aborted; attempt++) {
      try {
        const ids = await syncSubjects({
          client: this.#client,
          prefix,
          topics: this.#topics,
          autoRegister: registry.autoRegister,
          onRegistered: (subject, id) => telemetry.emit(schemaRegistered, { subject, id }),
        });
        this.#swaps = new Map([...ids].map(([topic, theirsByOurs]) => [topic, new IdSwap(theirsByOurs)]));
        this.#health = true;
        telemetry.emit(registryInUse, { url: this.#client.url, subjects: ids.size });
        this.#ready.resolve();
        return;
      } catch (error) {
        const { code, advice, message: reason } = asFailure(error);
        this.#health = reason;
        if (advice !== "retry") {
          telemetry.emit(registryRefused, { code, reason });
          this.#ready.reject(error); // E3
          return;
        }
        const waitMs = backoffMs(BACKOFF, attempt, random);
        telemetry.emit(registryAway, { code, attempt, waitMs, reason }); // E2
        await this.#clock.sleep(waitMs, this.#stop.signal).catch(() => {});
      }
    }
  }

  /** Returns once an id is known, or is known to be unknown. E4 */
  #know(topicName: string, theirs: number, ours: number): Promise<void> | undefined {
    const topic = this.#topics.find(({ name }) => name === topicName);
    if (topic === undefined || topic.codec.versions.some(({ id }) => id === ours)) return undefined;
    const key = `${topicName} ${theirs}`;
    const asked = this.#lookups.get(key);
    if (asked !== undefined) return asked;
    const tell = (outcome: string, reason: string) =>
      this.#options.telemetry.emit(schemaLookedUp, { topic: topicName, id: theirs, outcome, reason });
    if (theirs < 0 || !this.#takeToken()) {
      tell("skipped", "not asked for: no id, or too many others were");
      return undefined;
    }
    const lookup = this.#learn(topic, theirs, ours).then(
      ([outcome, reason]) => tell(outcome, reason),
      (error) => {
        const { code, advice, message } = asFailure(error);
        if (advice === "retry") this.#lookups.delete(key); // May be asked again, within the bound.
        tell(code, message);
      },
    );
    this.#remember(key, lookup);
    return lookup;
  }

  async #learn(topic: Pick<Topic, "codec">, theirs: number, ours: number): Promise<readonly [string, string]> {
    const schema = await this.#client.schemaById(theirs);
    if (schema === undefined) return ["unknown", "the registry does not know it either"];
    return topic.codec.learn(ours, schema)
      ? ["learned", "learned from the registry"]
      : ["unreadable", `the registry's schema cannot be read as ${topic.codec.name}`];
  }

  #remember(key: string, lookup: Promise<void>): void {
    this.#lookups.set(key, lookup);
    if (this.#lookups.size <= LOOKUPS.rememberedMax) return;
    const [oldest] = this.#lookups.keys();
    if (oldest !== undefined) this.#lookups.delete(oldest);
  }

  #takeToken(): boolean {
    const now = this.#clock.monotonicMs();
    const refilled = Math.floor((now - this.#tokensAt) / LOOKUPS.refillMs);
    if (refilled > 0) {
      this.#tokens = Math.min(LOOKUPS.burst, this.#tokens + refilled);
      this.#tokensAt += refilled * LOOKUPS.refillMs;
    }
    if (this.#tokens === 0) return false;
    this.#tokens--;
    return true;
  }
}

const asFailure = (error: unknown): Failure =>
  error instanceof Failure ? error : new Failure("schema-registry-failed", "ask-a-person", reasonOf(error));
