/**
 * Publishes rollouts.v1, or experiments.v1: each rollout or experiment after every change of it, and when what is seen of its devices changes.
 *
 * P1. The topic is read back, so instances do not repeat each other; an older record is overwritten, a newer one is left to
 *     the instance that wrote it. Records of an older epoch (generation.ts) are older than any of this one.
 * P2. (G9) At most one record of a rollout is written every `everyMs`, the first change at once.
 * P3. One of an older epoch that is published as active, and that the restored log does not have, gets a tombstone.
 */
import type { Topic } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type RecordSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { compareGenerations, epochOf, type Generation } from "@tributary/rollouts";

export type Publishing = {
  readonly epoch: number;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly everyMs: number;
};

export type StatusPublisherOptions<T> = Publishing & {
  readonly topic: Topic<T>;
  /** Those that the log has now. */
  readonly uids: () => Iterable<string>;
  /** As it stands; null: the log does not have it. */
  readonly recordOf: (uid: string) => T | null;
  readonly isActive: (record: T) => boolean;
};

type Published = Generation & { readonly isActive: boolean; readonly value: Buffer };

export class StatusPublisher<T extends Generation & { readonly uid: string }> {
  readonly #options: StatusPublisherOptions<T>;
  readonly #published = new Map<string, Published>();
  readonly #sentAt = new Map<string, number>();
  readonly #due = new Set<string>();

  constructor(options: StatusPublisherOptions<T>) {
    this.#options = options;
  }

  follow(context: FollowContext): Promise<Following> {
    const { topic, isActive } = this.#options;
    return follow(context, topic, (record, { key, value }) => {
      if (record === null || value === null) this.#published.delete(key ?? "");
      else {
        const { uid, version, generation } = record;
        this.#published.set(uid, { version, generation, isActive: isActive(record), value: Buffer.from(value) });
      }
    });
  }

  /** Call it when the log is read: every record of the topic is compared with it. */
  start(): void {
    for (const uid of this.#published.keys()) this.#due.add(uid);
    for (const uid of this.#options.uids()) this.#due.add(uid);
  }

  /** This one may have changed. */
  due(uid: string): void {
    this.#due.add(uid);
  }

  record(uid: string): T | null {
    return this.#options.recordOf(uid);
  }

  /** Writes what is due; rejects with what the sink throws, and then it is due again. */
  async publish(): Promise<void> {
    const { clock, everyMs, recordOf, topic } = this.#options;
    const now = clock.monotonicMs();
    for (const uid of [...this.#due]) {
      const known = this.#published.get(uid);
      const record = recordOf(uid);
      if (record === null) {
        this.#due.delete(uid);
        if (known !== undefined && this.#isForgotten(known)) await this.#send(uid, null); // P3
        continue;
      }
      const order = known === undefined ? -1 : compareGenerations(known, record);
      const isChange = order < 0;
      if (!isChange && now - (this.#sentAt.get(uid) ?? Number.NEGATIVE_INFINITY) < everyMs) continue; // P2
      this.#due.delete(uid);
      const value = topic.codec.encodeConfluent(record);
      if (order > 0 || known?.value.equals(value)) continue; // P1
      this.#sentAt.set(uid, now);
      await this.#send(uid, value);
    }
  }

  #isForgotten({ isActive, generation }: Published): boolean {
    return isActive && epochOf(generation) < BigInt(this.#options.epoch);
  }

  async #send(uid: string, value: Buffer | null): Promise<void> {
    try {
      await this.#options.sink.send([{ topic: this.#options.topic.name, key: uid, value }]);
    } catch (error) {
      this.#due.add(uid);
      throw error;
    }
  }
}
