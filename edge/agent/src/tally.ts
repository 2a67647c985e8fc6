/** Running totals of this boot, for `/v1/status`. */
import type { AnswerLevel } from "./driving/driver.ts";
import type { Dropped } from "./outbox/rows.ts";
import type { LocalAnswer } from "./pipeline.ts";

const LATENCIES_KEPT = 1_024;

export class Tally {
  frames = 0;
  kept = 0;
  unreadable = 0;
  unrecorded = 0;
  sentRecords = 0;
  sentBytes = 0;
  modelLosses = 0;
  levelChanges = 0;
  readonly levels: Record<AnswerLevel, number> = { FULL: 0, LITE: 0, STALE: 0, CLOUD: 0 };
  readonly queued: Record<string, number> = {};
  /** By why they are not sent, whatever the reason for which they were to be. */
  readonly dropped: Record<string, number> = {};
  readonly #droppedLater: Record<string, number> = {};
  /** Final answers that arrived, by source. */
  readonly finals: Record<string, number> = {};
  readonly #latencies = new Float64Array(LATENCIES_KEPT);
  #latencyCount = 0;

  answered(answer: LocalAnswer): void {
    this.#answered(answer);
    if (answer.frameSeq === null) this.unrecorded += 1;
    if (answer.escalation === "NONE") this.kept += 1;
    else if (answer.escalation === "QUEUED") add(this.queued, answer.reason, 1);
    else add(this.dropped, answer.dropReason, 1);
  }

  /** Without a number, and not unrecorded: there is no picture to send. */
  answeredHere(answer: LocalAnswer): void {
    this.#answered(answer);
    this.kept += 1;
  }

  #answered(answer: LocalAnswer): void {
    this.frames += 1;
    this.levels[answer.level] += 1;
    this.#latencies[this.#latencyCount++ % LATENCIES_KEPT] = answer.latencyMs;
  }

  /** Totals as metrics of the device. */
  byLevel(): Readonly<Record<string, number>> {
    const { FULL, LITE, STALE, CLOUD } = this.levels;
    return { frames_full: FULL, frames_lite: LITE, frames_stale: STALE + CLOUD, level_changes: this.levelChanges };
  }

  outboxDropped({ dropReason, reason, count }: Dropped): void {
    add(this.dropped, dropReason, count);
    add(this.#droppedLater, reason, count);
  }

  settled({ acked, bytes }: { readonly acked: boolean; readonly bytes: number }): void {
    if (!acked) return;
    this.sentRecords += 1;
    this.sentBytes += bytes;
  }

  /** Frames sent or waiting to be, by reason. */
  get sent(): Record<string, number> {
    const sent = Object.entries(this.queued).map(([reason, n]) => [reason, n - (this.#droppedLater[reason] ?? 0)]);
    return Object.fromEntries(sent);
  }

  final(source: string): void {
    add(this.finals, source, 1);
  }

  /** Of the last 1,024 frames. */
  latencyMs(): { readonly p50: number; readonly p99: number } | null {
    const count = Math.min(this.#latencyCount, LATENCIES_KEPT);
    if (count === 0) return null;
    const sorted = this.#latencies.slice(0, count).sort();
    const at = (q: number) => sorted[Math.min(count - 1, Math.floor(q * count))] as number;
    return { p50: at(0.5), p99: at(0.99) };
  }
}

const add = (counts: Record<string, number>, key: string, count: number): void => {
  counts[key] = (counts[key] ?? 0) + count;
};
