/**
 * Publishes rollouts.v1: each rollout as it stands, after every change of it and when what is seen of its devices changes.
 *
 * P1. What stands in the topic is read back, so instances do not repeat each other; an older record is written over, a newer
 *     one is left to whoever knows more. Of another epoch (generation.ts), whatever the older one published is older.
 * P2. (G9) At most one record a rollout every `everyMs`, the first change at once.
 * P3. A rollout of an older epoch that is published as active, and that the log does not know, was forgotten with a Kafka that
 *     was restored: a tombstone ends it.
 */
import { type Rollout as RolloutRecord, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type RecordSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import { compareTold, epochOf, type RolloutController, type Told } from "@tributary/rollouts";
import { recordOf } from "./rollout-record.ts";

export type StatusPublisherOptions = {
  readonly controller: RolloutController;
  readonly models: ModelTable;
  readonly epoch: number;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly everyMs: number;
};

type Published = Told & { readonly isActive: boolean; readonly value: Buffer };

export class StatusPublisher {
  readonly #options: StatusPublisherOptions;
  readonly #published = new Map<string, Published>();
  readonly #sentAt = new Map<string, number>();
  readonly #due = new Set<string>();

  constructor(options: StatusPublisherOptions) {
    this.#options = options;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.rollouts, (rollout, { key, value }) => {
      if (rollout === null || value === null) this.#published.delete(key ?? "");
      else {
        const { uid, version, generation, phase, isBack, abandonedDevices } = rollout;
        const isActive = phase !== "HEALTHY" && !isBack && abandonedDevices === 0;
        this.#published.set(uid, { version, generation, isActive, value: Buffer.from(value) });
      }
    });
  }

  /** The log is read: whatever stands in the topic is compared with it. */
  begin(): void {
    for (const uid of this.#published.keys()) this.#due.add(uid);
    for (const { uid } of this.#options.controller.rollouts) this.#due.add(uid);
  }

  /** Something of this rollout may be different now. */
  due(uid: string): void {
    this.#due.add(uid);
  }

  record(uid: string): RolloutRecord | null {
    const { controller, models, clock } = this.#options;
    const rollout = controller.rollout(uid);
    if (rollout === null) return null;
    return recordOf(
      rollout,
      controller.seen(uid, clock.now()),
      controller.evidence(uid),
      models.byDigest(rollout.modelDigest),
    );
  }

  /** Writes what is due; rejects with what the sink throws, and then it is due again. */
  async publish(): Promise<void> {
    const { clock, everyMs } = this.#options;
    const now = clock.monotonicMs();
    for (const uid of [...this.#due]) {
      const known = this.#published.get(uid);
      const record = this.record(uid);
      if (record === null) {
        this.#due.delete(uid);
        if (known !== undefined && this.#isForgotten(known)) await this.#send(uid, null); // P3
        continue;
      }
      const order = known === undefined ? -1 : compareTold(known, record);
      const isChange = order < 0;
      if (!isChange && now - (this.#sentAt.get(uid) ?? Number.NEGATIVE_INFINITY) < everyMs) continue; // P2
      this.#due.delete(uid);
      const value = topics.rollouts.codec.encodeConfluent(record);
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
      await this.#options.sink.send([{ topic: topics.rollouts.name, key: uid, value }]);
    } catch (error) {
      this.#due.add(uid);
      throw error;
    }
  }
}
