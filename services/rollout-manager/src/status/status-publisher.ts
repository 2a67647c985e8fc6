/**
 * Publishes rollouts.v1: each rollout after every change of it, and when the observed state of its devices changes.
 *
 * P1. The topic is read back, so instances do not repeat each other; an older record is overwritten, a newer one is left to
 *     the instance that wrote it. Records of an older epoch (generation.ts) are older than any of this one.
 * P2. (G9) At most one record of a rollout is written every `everyMs`, the first change at once.
 * P3. A rollout of an older epoch that is published as active, and that the restored log does not have, gets a tombstone.
 */
import { type Rollout as RolloutRecord, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type RecordSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import { compareGenerations, epochOf, type Generation, type RolloutController } from "@tributary/rollouts";
import { recordOf } from "./rollout-record.ts";

export type StatusPublisherOptions = {
  readonly controller: RolloutController;
  readonly models: ModelTable;
  readonly epoch: number;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly everyMs: number;
};

type Published = Generation & { readonly isActive: boolean; readonly value: Buffer };

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

  /** Call it when the log is read: every record of the topic is compared with it. */
  start(): void {
    for (const uid of this.#published.keys()) this.#due.add(uid);
    for (const { uid } of this.#options.controller.rollouts) this.#due.add(uid);
  }

  /** This rollout may have changed. */
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
      const order = known === undefined ? -1 : compareGenerations(known, record);
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
