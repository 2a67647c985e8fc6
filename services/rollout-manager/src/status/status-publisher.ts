/**
 * Publishes rollouts.v1: each rollout as it stands, after every change of it and when what is seen of its devices changes.
 *
 * P1. What stands in the topic is read back, so instances do not repeat each other; an older version is written over, a newer
 *     one is left to whoever knows more.
 * P2. (G9) At most one record a rollout every `everyMs`, the first change at once.
 */
import { type Rollout as RolloutRecord, topics } from "@tributary/contracts";
import type { RecordSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import type { RolloutController } from "@tributary/rollouts";
import { type FollowContext, type Following, follow } from "@tributary/service-kit";
import type { ModelTable } from "../models/model-table.ts";
import { recordOf } from "./rollout-record.ts";

export type StatusPublisherOptions = {
  readonly controller: RolloutController;
  readonly models: ModelTable;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly everyMs: number;
};

export class StatusPublisher {
  readonly #options: StatusPublisherOptions;
  readonly #published = new Map<string, { readonly version: bigint; readonly value: Buffer }>();
  readonly #sentAt = new Map<string, number>();
  readonly #due = new Set<string>();

  constructor(options: StatusPublisherOptions) {
    this.#options = options;
  }

  follow(context: FollowContext): Promise<Following> {
    return follow(context, topics.rollouts, (rollout, { key, value }) => {
      if (rollout === null || value === null) this.#published.delete(key ?? "");
      else this.#published.set(rollout.uid, { version: rollout.version, value: Buffer.from(value) });
    });
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
      models.ofDigest(rollout.modelDigest),
    );
  }

  /** Writes what is due; rejects with what the sink throws, and then it is due again. */
  async publish(): Promise<void> {
    const { sink, clock, everyMs } = this.#options;
    const now = clock.monotonicMs();
    for (const uid of [...this.#due]) {
      const known = this.#published.get(uid);
      const record = this.record(uid);
      if (record === null) {
        this.#due.delete(uid);
        continue;
      }
      const isChange = known === undefined || known.version < record.version;
      if (!isChange && now - (this.#sentAt.get(uid) ?? Number.NEGATIVE_INFINITY) < everyMs) continue; // P2
      this.#due.delete(uid);
      const value = topics.rollouts.codec.encodeConfluent(record);
      if (known !== undefined && (known.version > record.version || known.value.equals(value))) continue; // P1
      this.#sentAt.set(uid, now);
      try {
        await sink.send([{ topic: topics.rollouts.name, key: uid, value }]);
      } catch (error) {
        this.#due.add(uid);
        throw error;
      }
    }
  }
}
