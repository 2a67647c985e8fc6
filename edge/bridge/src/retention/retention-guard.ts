/**
 * Keeps Kafka's retention from reaching records that no router has read: a record that would is neither stored nor acknowledged,
 * so its device keeps it (G1).
 *
 * Every second the routers' progress is read; `unread.ts` decides by it for each record. A session whose record was refused
 * is held for that topic: later records must not overtake it (G3). It is still read, so its keep-alive is answered and other
 * topics' records are stored. Once its partition permits it the session is ended, and the device connects and sends again.
 *
 * A held session costs a set entry; what it sends meanwhile is discarded, so no number of held devices fills memory (G9). */
import { type PartitionExtent, type ProgressReader, partitionKey, partitionOf, type Retention } from "@tributary/kafka";
import { type Clock, reasonOf, repeat } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { deviceResumes, levelChanged, messageHeld, progressUnknown } from "./events.ts";
import { showOutages } from "./outage-gauge.ts";
import { type Level, PartitionUnread } from "./unread.ts";

/** A session, or the message of one that devices share. */
export type HeldSender = {
  readonly deviceId: string;
  readonly isClosed: boolean;
  /** What is refused is sent again without an end of the session. */
  readonly isShared?: boolean;
  close(): void;
};

export type RetentionGuardOptions = {
  readonly progress: ProgressReader;
  /** The routers' consumer group, and the topics that devices fill for it. */
  readonly group: string;
  readonly topics: readonly string[];
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly everyMs?: number;
  /** What one device may send; outages are shown if it is given. */
  readonly deviceBytesPerSecond?: number;
};

const EVERY_MS = 1_000;
/** Settings of topics change seldom. */
const RETENTION_EVERY_MS = 60_000;
/** Without a first reading by then devices are admitted all the same: where Kafka forbids it, that is forever. */
const FIRST_READING_MS_MAX = 10_000;
const LEVELS: readonly Level[] = ["open", "scarce", "closed"];

type Partition = { readonly topic: string; readonly number: number; readonly unread: PartitionUnread; level: Level };

export class RetentionGuard {
  readonly #options: RetentionGuardOptions;
  readonly #partitions = new Map<string, Partition>();
  readonly #counts = new Map<string, number>();
  /** The topics for which a session is held. */
  readonly #held = new Map<HeldSender, Set<string>>();
  readonly #stop = new AbortController();
  #retention: { readonly atMs: number; readonly byTopic: ReadonlyMap<string, Retention> } | undefined;
  #reading: Promise<unknown> = Promise.resolve();
  #isUnknown = true;

  constructor(options: RetentionGuardOptions) {
    this.#options = options;
    this.#gauges();
  }

  /** Resolves once the routers' progress is known, or after a bounded wait. */
  async start(): Promise<void> {
    const { clock, everyMs = EVERY_MS, deviceBytesPerSecond } = this.#options;
    const { signal } = this.#stop;
    const first = Promise.withResolvers<void>();
    const work = () =>
      this.#read().then(
        () => first.resolve(),
        (error: unknown) => this.#failed(error),
      );
    const shown =
      deviceBytesPerSecond === undefined ? undefined : showOutages({ ...this.#options, deviceBytesPerSecond }, signal);
    this.#reading = Promise.all([repeat(work, { clock, everyMs, signal }), shown]);
    const late = new AbortController();
    await Promise.race([first.promise, clock.sleep(FIRST_READING_MS_MAX, late.signal).catch(() => {})]);
    late.abort();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#options.progress.close().catch(() => {});
    await this.#reading;
  }

  /** Why devices wait; undefined while none has to. */
  get degraded(): string | undefined {
    const waiting = [...this.#partitions.values()].filter(({ level }) => level !== "open");
    if (waiting.length === 0) return undefined;
    const closed = waiting.filter(({ level }) => level === "closed").length;
    return `records that no router has read fill ${waiting.length} partitions: ${closed} take none, the others only of devices below their share; start routers`;
  }

  /** Whether the record may be stored; `settled` follows if so. */
  admits(sender: HeldSender, topic: string, bytes: number): boolean {
    const partition = this.#partitionOf(topic, sender.deviceId);
    if (partition === undefined) return true;
    const isHeld = this.#held.get(sender)?.has(topic) === true;
    if (!isHeld && partition.unread.admit(sender.deviceId, bytes, this.#nowMs)) return true;
    this.#follow(partition);
    this.#options.telemetry.emit(messageHeld, { deviceId: sender.deviceId, topic, level: partition.level });
    if (!isHeld && sender.isShared !== true) {
      this.#held.set(sender, (this.#held.get(sender) ?? new Set()).add(topic));
    }
    return false;
  }

  /** Kafka has an admitted record, or did not take it. */
  settled(deviceId: string, topic: string, bytes: number): void {
    this.#partitionOf(topic, deviceId)?.unread.settled(bytes);
  }

  get #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  #partitionOf(topic: string, deviceId: string): Partition | undefined {
    const count = this.#counts.get(topic);
    return count === undefined ? undefined : this.#partitions.get(partitionKey(topic, partitionOf(deviceId, count)));
  }

  async #read(): Promise<void> {
    const { progress, group, topics } = this.#options;
    if (this.#retention === undefined || this.#nowMs - this.#retention.atMs > RETENTION_EVERY_MS) {
      this.#retention = { atMs: this.#nowMs, byTopic: await progress.retention(topics) };
    }
    for (const { unread } of this.#partitions.values()) unread.begin();
    // What is committed comes first: what is read meanwhile counts as unread for one more reading.
    const committed = await progress.committed(group);
    const extents = await progress.extents(topics);
    for (const extent of extents) this.#observe(extent, committed.get(partitionKey(extent.topic, extent.partition)));
    for (const [topic, ofTopic] of Map.groupBy(extents, (extent) => extent.topic)) {
      this.#counts.set(topic, ofTopic.length);
    }
    this.#isUnknown = false;
    this.#resume();
  }

  #observe({ topic, partition: number, ...extent }: PartitionExtent, committed: bigint | undefined): void {
    const key = partitionKey(topic, number);
    const partition = this.#partitions.get(key) ?? { topic, number, unread: new PartitionUnread(), level: "open" };
    this.#partitions.set(key, partition);
    const retentionBytes = this.#retention?.byTopic.get(topic)?.bytes ?? Number.POSITIVE_INFINITY;
    partition.unread.observe({ ...extent, committed, retentionBytes }, this.#nowMs);
    this.#follow(partition);
  }

  #follow(partition: Partition): void {
    const { topic, number, unread } = partition;
    if (unread.level === partition.level) return;
    partition.level = unread.level;
    const { level, retentionBytes } = unread;
    const unreadBytes = unread.unreadBytes(this.#nowMs);
    this.#options.telemetry.emit(levelChanged, { topic, partition: number, level, unreadBytes, retentionBytes });
  }

  #resume(): void {
    for (const [sender, topics] of this.#held) {
      const { deviceId } = sender;
      const mayResume = [...topics].some((topic) =>
        this.#partitionOf(topic, deviceId)?.unread.mayResume(deviceId, this.#nowMs),
      );
      if (!sender.isClosed && !mayResume) continue;
      this.#held.delete(sender);
      if (sender.isClosed) continue;
      this.#options.telemetry.emit(deviceResumes, { deviceId });
      sender.close();
    }
  }

  #failed(error: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#isUnknown = true;
    this.#options.telemetry.emit(progressUnknown, { reason: reasonOf(error) });
  }

  #gauges(): void {
    const { telemetry } = this.#options;
    const name = (rest: string) => `tributary_bridge_retention_${rest}`;
    telemetry.gauge({ name: name("held_sessions"), help: "Sessions with records that wait for routers" }, () => {
      for (const sender of this.#held.keys()) if (sender.isClosed) this.#held.delete(sender);
      return this.#held.size;
    });
    const unknown = "1 while Kafka does not say how far routers are";
    telemetry.gauge({ name: name("progress_unknown"), help: unknown }, () => Number(this.#isUnknown));
    const help = "Partitions that take records of every device, of those below their share, or of none";
    telemetry.gauge({ name: name("partitions"), help, labels: ["topic", "level"] }, () =>
      this.#byTopic((topic, partitions) =>
        LEVELS.map((level) => ({
          labels: { topic, level },
          value: partitions.filter((partition) => partition.level === level).length,
        })),
      ),
    );
    const share = "Part of retention.bytes that no router has read, of the partition with most";
    telemetry.gauge({ name: name("unread_ratio"), help: share, labels: ["topic"] }, () =>
      this.#byTopic((topic, partitions) => {
        const parts = partitions.map(({ unread }) => unread.unreadBytes(this.#nowMs) / unread.retentionBytes);
        return [{ labels: { topic }, value: Math.max(...parts) }];
      }),
    );
  }

  #byTopic<T>(readings: (topic: string, partitions: readonly Partition[]) => readonly T[]): T[] {
    const byTopic = Map.groupBy(this.#partitions.values(), ({ topic }) => topic);
    return [...byTopic].flatMap(([topic, partitions]) => readings(topic, partitions));
  }
}
