/**
 * The engine of the outbox: group commits, sends, resends and drops. It runs on the worker's thread; its only I/O is the store
 * and `post`.
 *
 * A record is committed with its `seq` before it is sent, so a resend is the same record (G2) with larger ages. A row is
 * deleted only when Kafka has it, or when policy drops it (G1, G9). The broker's PUBACK confirms that if the bridge is the
 * broker; otherwise `confirmed` does (flight.ts W5). On every new connection earlier records are resent first, per stream in
 * `seq` order (G3). A failed commit changes nothing: memory is rebuilt from the store and the same items are retried.
 *
 * O4. A frame is in exactly one prediction record. If its image is dropped before that record was sent, the record reports it;
 *     afterwards the router settles the frame at its deadline.
 * O6. A full disk does not stop work that needs no space. While a commit fails, its parts are retried separately, each with its
 *     own backoff: acknowledged and expired rows are deleted, then records are sent, and only then, in pieces, waiting items
 *     are stored, but not in the space that sending needs. Waiting items are bounded by their sender, which counts them until
 *     they are reported as committed (outbox.ts X1). */
import type { UplinkStream } from "@tributary/contracts";
import { type Backoff, childTraceparent, type Random, reasonOf } from "@tributary/kernel";
import { Acked } from "./acked.ts";
import { ageOf, type DeviceTime, expiresAtMs } from "./age.ts";
import { freshMsMax, nextBatch } from "./batch-plan.ts";
import { Retry, troubleOf } from "./disk.ts";
import { Flight } from "./flight.ts";
import { FramePlan, type WaitingFrame } from "./frame-plan.ts";
import { agedRecord, frameRecord, predictionsRecord, reportRecord } from "./records.ts";
import type { Reserve } from "./reserve.ts";
import type {
  Dropped,
  DropReason,
  FrameItem,
  FromOutbox,
  OpenOptions,
  OutboxItem,
  OutboxStats,
  RecordKey,
  ReportStream,
  SendTrace,
  ToOutbox,
} from "./rows.ts";
import { type FrameRow, type OpenDatabase, OutboxStore, type PredictionRow } from "./store.ts";

/** The parts of one commit. `again`: only resends, for which nothing has to be written. */
type Parts = { readonly releases: boolean; readonly leaves: "all" | "again" | "none"; readonly takesMax: number };
const EVERYTHING: Parts = { releases: true, leaves: "all", takesMax: Number.POSITIVE_INFINITY };

export type EngineParts = {
  readonly random?: Random;
  readonly openDatabase?: OpenDatabase;
  /** This boot's count at least, where no file keeps it. */
  readonly bootCountMin?: number;
  readonly reserve?: Pick<Reserve, "hold" | "release">;
};

type PieceName = "release" | "leave" | "take";

type Leaving = {
  readonly key: RecordKey;
  readonly payload: Uint8Array;
  readonly frames: number;
  readonly trace?: SendTrace;
};

const REPORT_STREAMS: readonly ReportStream[] = ["reported", "metrics", "sketches"];
const RETRY: Backoff = { minMs: 200, maxMs: 15_000 };
/** Approximate bytes of an item beside its image or body, in pages that are never quite full. */
const ITEM_BYTES = 4_096;
const NO_BYTES = new Uint8Array();
/** Nothing but predictions is left to drop: report full until there is room again. */
const FULL_UNTIL = 0.95;

export class OutboxEngine {
  readonly #options: OpenOptions;
  readonly #now: () => DeviceTime;
  readonly #post: (message: FromOutbox) => void;
  readonly #store: OutboxStore;
  readonly #flight: Flight;
  #plan = new FramePlan();
  /** Predictions with an id up to this are backlog. */
  #backlogUpTo = 0;
  #backlogCount = 0;
  #fresh: { id: number; capturedMs: number }[] = [];
  #reports = 0;
  #bytes = 0;
  #isFull = false;
  #pending: OutboxItem[] = [];
  readonly #acked = new Acked();
  /** To be kept; empty: none. */
  #policy: Uint8Array | undefined;
  #items = 0;
  #dropped: Dropped[] = [];
  /** The whole commit fails, and its parts are tried separately. */
  #isStalled = false;
  #isDead = false;
  readonly #reserve: EngineParts["reserve"];
  readonly #random: Random;
  /** How many items one piece stores while stalled. */
  #pieceMax: number;
  readonly #retries: Readonly<Record<PieceName, Retry>>;

  constructor(
    options: OpenOptions,
    now: () => DeviceTime,
    post: (message: FromOutbox) => void,
    { random = Math.random, openDatabase, bootCountMin, reserve }: EngineParts = {},
  ) {
    this.#options = options;
    this.#now = now;
    this.#post = post;
    this.#reserve = reserve;
    this.#random = random;
    this.#pieceMax = options.limits.commitFrames;
    const retry = () => new Retry(RETRY, random);
    this.#retries = { release: retry(), leave: retry(), take: retry() };
    this.#flight = new Flight(options.limits);
    this.#store = new OutboxStore(options.file, now(), openDatabase, bootCountMin);
    try {
      this.#open();
    } catch (error) {
      this.#store.close();
      throw error;
    }
  }

  #open(): void {
    this.#isStalled = this.#reserve?.hold() === false;
    let sampleKey = this.#store.setting("sample_key") as Uint8Array | undefined;
    if (sampleKey === undefined) {
      sampleKey = crypto.getRandomValues(new Uint8Array(32));
      this.#store.putSetting("sample_key", sampleKey);
    }
    this.#load();
    this.#flight.numbered(this.#store.numbered());
    this.#flight.link(false, 0, this.#store.left());
    this.#post({
      kind: "opened",
      opened: {
        boot: this.#store.boot,
        bootId: this.#store.bootIdOf(this.#store.boot).toString(),
        sampleKey,
        policy: (this.#store.setting("policy") as Uint8Array | undefined) ?? null,
        stats: this.stats(),
      },
    });
  }

  /** Whether the next commit should not wait for its time. */
  receive(message: ToOutbox): boolean {
    switch (message.kind) {
      case "append":
        this.#pending.push(...message.items); // Gathered for a group commit already.
        return true;
      case "link":
        this.#flight.link(message.online, message.epoch, this.#acked.pending(this.#store.left()));
        return message.online;
      case "settled":
        if (message.acked && this.#options.limits.confirmMs === null) this.#acked.add(message.key);
        this.#flight.settle(message.key, message.epoch, this.#now().monotonicMs);
        // A draining window refills at half empty, so that a long backlog is not paced by the commit timer.
        return this.#flight.halfEmpty(message.key.stream) && this.#hasMoreOf(message.key.stream);
      case "confirmed": {
        const boot = this.#store.bootOf(message.bootId);
        if (boot !== undefined) this.#acked.add(...this.#flight.confirm(boot, message.stream, message.ranges));
        return false;
      }
      case "sampleKey":
        this.#keepSampleKey(message.bytes);
        return false;
      case "policy":
        this.#keep(message.bytes ?? NO_BYTES);
        return false;
      case "flush":
        this.tick(true);
        this.#post({ kind: "flushed", ticket: message.ticket });
        return false;
      case "close":
        this.tick(true);
        this.#store.close();
        this.#post({ kind: "closed" });
        return false;
      default:
        return message satisfies never;
    }
  }

  /** One group commit, and the sends that it permits. `isLast`: without backoff. */
  tick(isLast = false): void {
    const now = this.#now();
    this.#flight.remind(now.monotonicMs);
    if (this.#isDead || !this.#hasWork(now)) return;
    if (!this.#isStalled && this.#commit(EVERYTHING, now)) return;
    if (!this.#isStalled) this.#reserve?.release();
    this.#isStalled = true;
    this.#tickStalled(now, isLast);
  }

  #tickStalled(now: DeviceTime, isLast: boolean): void {
    const attempt = (name: PieceName, parts: Parts): boolean => {
      const retry = this.#retries[name];
      if (this.#isDead || !(isLast || retry.isDue(now.monotonicMs))) return false;
      const isDone = this.#commit(parts, now);
      if (isDone) retry.succeeded();
      else retry.failed(now.monotonicMs);
      return isDone;
    };
    const isReleased = attempt("release", { releases: true, leaves: "none", takesMax: 0 });
    const hasLeft = attempt("leave", { releases: false, leaves: "all", takesMax: 0 });
    if (!hasLeft && !this.#isDead && this.#flight.resending) {
      this.#commit({ releases: false, leaves: "again", takesMax: 0 }, now);
    }
    let isTaken = this.#pending.length === 0 && this.#policy === undefined;
    while (!isTaken && isReleased && hasLeft) {
      const tried = Math.min(this.#pieceMax, Math.max(1, this.#pending.length));
      if (!this.#hasSpaceFor(tried)) {
        if (tried === 1) break;
        this.#pieceMax = Math.ceil(tried / 2);
      } else if (attempt("take", { releases: false, leaves: "none", takesMax: tried })) {
        this.#pieceMax = Math.min(tried * 2, this.#options.limits.commitFrames);
        isTaken = this.#pending.length === 0;
      } else if (tried === 1 || this.#isDead) break;
      else {
        this.#pieceMax = Math.ceil(tried / 2); // also for the next tick: less may fit where this did not
        if (!this.#retries.take.isDue(now.monotonicMs)) break;
      }
    }
    if (!(isReleased && hasLeft && isTaken) || this.#reserve?.hold() === false) return;
    this.#isStalled = false;
    this.#report(0);
  }

  #hasSpaceFor(itemCount: number): boolean {
    if (this.#reserve === undefined || this.#reserve.hold()) return true;
    const bytes = this.#pending
      .slice(0, itemCount)
      .reduce(
        (sum, item) => sum + ITEM_BYTES + (item.kind === "frame" ? (item.jpeg?.length ?? 0) : item.body.length),
        0,
      );
    return bytes <= this.#store.freeBytes;
  }

  /** Whether it succeeded. */
  #commit({ releases, leaves, takesMax }: Parts, now: DeviceTime): boolean {
    const startedMs = performance.now();
    const acked = releases ? this.#acked.take() : [];
    const policy = takesMax > 0 ? this.#policy : undefined;
    const pending = this.#pending.splice(0, takesMax);
    if (policy !== undefined) this.#policy = undefined;
    this.#dropped = [];
    let leaving: Leaving[] = [];
    try {
      this.#store.begin();
      for (const key of acked) this.#bytes -= this.#store.deleteLeft(key);
      if (policy !== undefined) this.#store.putSetting("policy", policy);
      for (const item of pending) this.#insert(item, now);
      if (releases) this.#giveUp(now);
      if (leaves !== "none") leaving = this.#leave(now, leaves === "all");
      this.#store.commit();
    } catch (error) {
      this.#pending.unshift(...pending);
      this.#acked.restore(acked);
      this.#policy ??= policy;
      this.#recover(error);
      return false;
    }
    this.#flight.keep();
    this.#items += pending.length;
    for (const { key, payload } of leaving) this.#flight.sent(key, payload.length); // Before it is counted.
    this.#report(performance.now() - startedMs);
    for (const one of leaving) this.#post({ kind: "send", ...one, epoch: this.#flight.epoch });
    return true;
  }

  #report(commitMs: number): void {
    const dropped = this.#dropped;
    this.#dropped = [];
    this.#post({ kind: "committed", items: this.#items, stats: this.stats(), dropped, commitMs });
  }

  /** On a full or broken disk it is not stored; the broker sends it again with the next connection. */
  #keepSampleKey(key: Uint8Array): void {
    try {
      const known = this.#store.setting("sample_key") as Uint8Array | undefined;
      if (known === undefined || Buffer.compare(known, key) !== 0) this.#store.putSetting("sample_key", key);
    } catch {
      // The next commit finds and reports the disk's fault.
    }
  }

  /** Written only if it differs from the stored one, or from the one about to be stored. */
  #keep(policy: Uint8Array): void {
    const last = this.#policy ?? (this.#store.setting("policy") as Uint8Array | undefined) ?? NO_BYTES;
    if (Buffer.compare(last, policy) !== 0) this.#policy = policy;
  }

  #hasWork(now: DeviceTime): boolean {
    if (this.#isStalled || this.#pending.length + this.#acked.size > 0 || this.#policy !== undefined) return true;
    if (this.#plan.hasExpired(now.monotonicMs)) return true;
    if (!this.#flight.online) return false;
    return this.#flight.resending || this.#plan.size > 0 || this.#reports > 0 || this.#batchEnd(now) !== "wait";
  }

  #hasMoreOf(stream: UplinkStream): boolean {
    if (stream === "frames") return this.#plan.size > 0;
    if (stream === "predictions") return this.#backlogCount > 0;
    return this.#reports > 0;
  }

  #insert(item: OutboxItem, now: DeviceTime): void {
    if (item.kind === "report") {
      const dropped = this.#store.insertReport(item, this.#options.limits.reportsMax);
      this.#reports += 1 - dropped;
      return;
    }
    const { limits } = this.#options;
    const isTooLarge = item.jpeg !== null && item.jpeg.length > limits.frameBytesMax;
    // An item that waited for the disk past its deadline would be dropped at once.
    const isLate = item.jpeg !== null && !item.body.sampleDrawn && this.#expiryOf(item, now) < now.monotonicMs;
    const dropReason = isTooLarge ? "FRAME_TOO_LARGE" : "EXPIRED";
    const isDropped = isTooLarge || isLate;
    if (isDropped) this.#note(dropReason, item.body.reason);
    const taken: FrameItem = isDropped ? { ...item, jpeg: null, escalation: "DROPPED", dropReason } : item;
    const { id, bytes, frameBytes } = this.#store.insertFrame(taken);
    this.#bytes += bytes + frameBytes;
    this.#fresh.push({ id, capturedMs: item.captured.monotonicMs });
    if (taken.jpeg !== null) this.#plan.add(this.#waitingOf({ ...taken, id, bytes: frameBytes }, now));
  }

  /** Expired and surplus images go; their prediction records stay. */
  #giveUp(now: DeviceTime): void {
    for (const frame of this.#plan.expire(now.monotonicMs)) this.#drop(frame, "EXPIRED");
    const { bytesMax } = this.#options.limits;
    for (const frame of this.#plan.overflow(this.#bytes - bytesMax, now.monotonicMs)) this.#drop(frame, "OUTBOX_FULL");
    this.#isFull = this.#bytes > bytesMax || (this.#isFull && this.#bytes > bytesMax * FULL_UNTIL);
    const backlogBeforeMs = now.monotonicMs - freshMsMax(this.#options.limits);
    let stale = 0;
    while (stale < this.#fresh.length && (this.#fresh[stale]?.capturedMs ?? 0) < backlogBeforeMs) stale++;
    if (stale === 0) return;
    this.#backlogUpTo = this.#fresh[stale - 1]?.id ?? this.#backlogUpTo;
    this.#backlogCount += stale;
    this.#fresh.splice(0, stale);
  }

  #drop(frame: WaitingFrame, dropReason: DropReason): void {
    this.#store.deleteFrame(frame.id); // First: on a full disk it makes the room.
    this.#store.markDropped(frame.id, dropReason);
    this.#bytes -= frame.bytes;
    this.#note(dropReason, frame.reason);
  }

  #note(dropReason: DropReason, reason: WaitingFrame["reason"]): void {
    const at = this.#dropped.findIndex((one) => one.dropReason === dropReason && one.reason === reason);
    const count = (this.#dropped[at]?.count ?? 0) + 1;
    this.#dropped.splice(at === -1 ? this.#dropped.length : at, 1, { dropReason, reason, count });
  }

  #leave(now: DeviceTime, takesNew: boolean): Leaving[] {
    if (!this.#flight.online) return [];
    const leaving: Leaving[] = [];
    const take = (one: Leaving | undefined): boolean => {
      if (one === undefined) return false;
      leaving.push(one);
      this.#flight.reserve(one.key.stream, one.payload.length);
      return true;
    };
    for (let key = this.#flight.nextResend(); key !== undefined; key = this.#flight.nextResend())
      take(this.#again(key, now));
    if (!takesNew) return leaving;
    for (const stream of REPORT_STREAMS) {
      while (this.#reports > 0 && this.#flight.free(stream) > 0 && take(this.#reportOut(stream, now)));
    }
    while (this.#flight.free("frames") > 0 && take(this.#frameOut(now)));
    while (take(this.#batchOut(now)));
    return leaving;
  }

  #again(key: RecordKey, now: DeviceTime): Leaving | undefined {
    if (key.stream !== "frames") {
      const formed = this.#store.record(key);
      return formed && { key, payload: agedRecord(key.stream, formed.payload, ageOf(formed.left, now)), frames: 0 };
    }
    const row = this.#store.leftFrame(key);
    return row && this.#frameLeaving(row, key, now);
  }

  #frameOut(now: DeviceTime): Leaving | undefined {
    const next = this.#plan.next(now.monotonicMs);
    if (next === undefined) return undefined;
    const row = this.#store.frame(next.frame.id);
    const key = this.#takeKey(row.boot, "frames");
    this.#store.markLeft(row.id, key.seq);
    return this.#frameLeaving(row, key, now);
  }

  /** Each time it leaves is a span of its own, and the record names it. */
  #frameLeaving(row: FrameRow, key: RecordKey, now: DeviceTime): Leaving {
    const { traceparent: parent } = row;
    const context = childTraceparent(parent, this.#random);
    const traced = { ...row, traceparent: context };
    const payload = frameRecord(this.#senderOf(key), traced, this.#store.jpeg(row.id), now);
    if (parent === null) return { key, payload, frames: 1 };
    const waitedMs = Math.max(0, ageOf(row.captured, now).ageMs - row.body.latencyMs);
    return { key, payload, frames: 1, trace: { parent, context, waitedMs } };
  }

  #batchEnd(now: DeviceTime): "fresh" | "backlog" | "wait" {
    const state = {
      online: this.#flight.online,
      windowFree: this.#flight.free("predictions"),
      freshCount: this.#fresh.length,
      freshOldestMs: this.#fresh[0]?.capturedMs ?? now.monotonicMs,
      backlogCount: this.#backlogCount,
    };
    return nextBatch(state, this.#options.limits, now.monotonicMs);
  }

  #batchOut(now: DeviceTime): Leaving | undefined {
    const end = this.#batchEnd(now);
    if (end === "wait") return undefined;
    const rows = sameHead(this.#store.predictions(end, this.#backlogUpTo, this.#options.limits.batchMax));
    const [head] = rows;
    if (head === undefined) throw new Error(`the outbox counts ${end} predictions it does not hold`);
    const key = this.#takeKey(head.boot, "predictions");
    const decidedBy = this.#store.decidedByOf(head.decidedById);
    const payload = predictionsRecord(this.#senderOf(key), decidedBy, rows, now);
    this.#store.deletePredictions(rows);
    this.#store.putRecord(key, { payload, left: now });
    this.#bytes += payload.length - rows.reduce((sum, row) => sum + row.bytes, 0);
    if (end === "fresh") this.#fresh.splice(0, rows.length);
    else this.#backlogCount -= rows.length;
    return { key, payload, frames: rows.length };
  }

  #reportOut(stream: ReportStream, now: DeviceTime): Leaving | undefined {
    const row = this.#store.nextReport(stream);
    if (row === undefined) return undefined;
    const key = this.#takeKey(row.boot, stream);
    const payload = reportRecord(this.#senderOf(key), row, now);
    this.#store.deleteReport(row.id);
    this.#store.putRecord(key, { payload, left: now });
    this.#bytes += payload.length;
    this.#reports -= 1;
    return { key, payload, frames: 0 };
  }

  #takeKey(boot: number, stream: UplinkStream): RecordKey {
    return { boot, stream, seq: this.#store.takeSeq(boot, stream) };
  }

  #senderOf(key: RecordKey) {
    return { deviceId: this.#options.deviceId, bootId: this.#store.bootIdOf(key.boot), seq: BigInt(key.seq) };
  }

  #waitingOf(frame: Pick<FrameRow, "id" | "bytes" | "body" | "captured">, now: DeviceTime): WaitingFrame {
    const { body } = frame;
    return {
      id: frame.id,
      reason: body.reason,
      drawn: body.sampleDrawn,
      score: body.score,
      bytes: frame.bytes,
      expiresAtMs: this.#expiryOf(frame, now),
    };
  }

  #expiryOf({ captured, body }: Pick<FrameRow, "captured" | "body">, now: DeviceTime): number {
    return expiresAtMs(ageOf(captured, now), body.deadlineMs, now);
  }

  stats(): OutboxStats {
    return {
      frames: this.#plan.size,
      predictions: this.#fresh.length + this.#backlogCount,
      reports: this.#reports,
      unacked: this.#flight.unacked,
      bytes: this.#bytes,
      full: this.#isFull,
      stalled: this.#isStalled,
    };
  }

  /** Memory is what the store has; everything in it is backlog. */
  #load(): void {
    const now = this.#now();
    const totals = this.#store.totals();
    this.#plan = new FramePlan();
    for (const row of this.#store.waitingFrames()) this.#plan.add(this.#waitingOf(row, now));
    this.#fresh = [];
    this.#backlogUpTo = totals.predictionIdMax;
    this.#backlogCount = totals.predictions;
    this.#reports = totals.reports;
    this.#bytes = totals.bytes;
  }

  #recover(error: unknown): void {
    const message = reasonOf(error);
    const trouble = troubleOf(error);
    try {
      this.#store.rollback();
      if (trouble === "damaged") throw error;
      this.#load();
      this.#flight.restore();
      this.#post({ kind: "failed", message, trouble, fatal: false });
    } catch (second) {
      this.#isDead = true;
      const isDamaged = trouble === "damaged" || troubleOf(second) === "damaged";
      const whole = second === error ? message : `${message}; then ${reasonOf(second)}`;
      this.#post({ kind: "failed", message: whole, trouble: isDamaged ? "damaged" : "other", fatal: true });
    }
  }
}

/** The longest head of rows that one record can hold: one boot, one model and policy. */
function sameHead(rows: readonly PredictionRow[]): readonly PredictionRow[] {
  const [head] = rows;
  const end = rows.findIndex((row) => row.boot !== head?.boot || row.decidedById !== head.decidedById);
  return end === -1 ? rows : rows.slice(0, end);
}
