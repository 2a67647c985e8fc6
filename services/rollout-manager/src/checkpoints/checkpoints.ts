/**
 * Checkpoints of everything that looks depend on: what is counted, what looks found, and the place in each topic. An instance that starts again
 * continues from the newest, as one that was never stopped, however much of the topics retention has deleted since.
 *
 * C1. Every instance counts the same, and one of them writes: the one that wrote the last, at most every `everyMs`; another only when none
 *     came for half as long again. Two that write at once do no harm (checkpoint-topic.ts).
 * C2. A checkpoint of another format, epoch or scale of weights is not used: then the topics are folded from as far back as they reach.
 * C3. A write that fails is logged, and made up for by the next.
 */
import { promisify } from "node:util";
import { deserialize, serialize } from "node:v8";
import { zstdCompress, zstdDecompress } from "node:zlib";
import { codeOf, type FollowContext, type Following, type RecordSink } from "@tributary/kafka";
import { type Clock, type Instant, reasonOf } from "@tributary/kernel";
import type { EvidenceState } from "@tributary/rollouts";
import type { Telemetry } from "@tributary/telemetry";
import { checkpointFailed, checkpointLeftOut, checkpointWritten } from "../events.ts";
import type { MetricsFoldState } from "../watching/metrics-fold.ts";
import { CheckpointTopic } from "./checkpoint-topic.ts";

/** Raise it with every change of what a state holds or means. */
export const FORMAT = 2;
const OTHERS_WAIT = 1.5;
/** Compose gives a container 10 s to stop where its file says nothing, and Kafka may be stopping as well. */
const LAST_MS_MAX = 3_000;

/** As of the look at `at`. */
export type Checkpoint = { readonly at: Instant; readonly evidence: EvidenceState; readonly fold: MetricsFoldState };
type Written = Checkpoint & Scale;
/** Numbers that counts are relative to. */
type Scale = { readonly epoch: number; readonly propensityMean: number };

export type CheckpointsOptions = Scale & {
  readonly everyMs: number;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

const [compressed, decompressed] = [promisify(zstdCompress), promisify(zstdDecompress)];

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #topic: CheckpointTopic;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  /** The last that this instance wrote. */
  #own: { readonly generation: string; readonly at: Instant } | null = null;
  #triedAtMs: number;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    this.#topic = new CheckpointTopic(options.sink);
    this.#triedAtMs = options.clock.monotonicMs();
  }

  follow(context: FollowContext): Promise<Following> {
    return this.#topic.follow(context);
  }

  /** The newest that can be used; null: none. Once, when the topic is read. */
  async newest(): Promise<Checkpoint | null> {
    const { epoch, propensityMean } = this.#options;
    for (const { format, bytes } of this.#topic.take((words) => this.leftOut("damaged", words))) {
      if (format !== FORMAT) {
        this.leftOut("format", `its format is ${format}, and this version reads ${FORMAT}`);
        continue;
      }
      try {
        const written = deserialize(await decompressed(bytes)) as Written;
        if (written.epoch === epoch && written.propensityMean === propensityMean) return written;
        const was = `epoch ${written.epoch} and judge.propensityMean ${written.propensityMean}`;
        this.leftOut("scale", `it is of ${was}, not ${epoch} and ${propensityMean}`);
      } catch (error) {
        this.leftOut("damaged", reasonOf(error));
      }
    }
    return null;
  }

  /** Logs why one is not used. */
  leftOut(why: "damaged" | "format" | "scale" | "topics", detail: string): void {
    this.#options.telemetry.emit(checkpointLeftOut, { why, detail });
  }

  get isWriting(): boolean {
    return this.#isWriting;
  }

  /** After each look: writes one if it is this instance's turn. (C1) */
  looked(at: Instant, checkpointOf: () => Checkpoint): void {
    const { everyMs, clock } = this.#options;
    if (this.#isWriting || clock.monotonicMs() - this.#triedAtMs < everyMs) return;
    const { newest } = this.#topic;
    const isOwn = newest?.generation === this.#own?.generation;
    if (newest !== null && at - newest.at < (isOwn ? 1 : OTHERS_WAIT) * everyMs) return;
    this.#write(checkpointOf());
  }

  /** Before a shutdown: what was counted since the newest is not to be counted again. */
  async last(checkpointOf: () => Checkpoint | null): Promise<void> {
    const stop = new AbortController();
    const late = this.#options.clock.sleep(LAST_MS_MAX, stop.signal).catch(() => {});
    await Promise.race([this.#last(checkpointOf), late]);
    stop.abort();
  }

  async #last(checkpointOf: () => Checkpoint | null): Promise<void> {
    await this.#writing;
    const checkpoint = checkpointOf();
    const { newest } = this.#topic;
    const storedTo = Math.max(newest?.at ?? 0, this.#own?.at ?? 0);
    if (checkpoint === null || storedTo >= checkpoint.at) return;
    this.#write(checkpoint);
    await this.#writing;
  }

  /** The state is read at once; what is counted later is not in it. */
  #write({ at, evidence, fold }: Checkpoint): void {
    const { epoch, propensityMean, clock, telemetry } = this.#options;
    const startedMs = clock.monotonicMs();
    this.#triedAtMs = startedMs;
    const written: Written = { at, evidence, fold, epoch, propensityMean };
    const state = serialize(written);
    const store = async () => {
      try {
        const bytes = await compressed(state);
        this.#own = { generation: await this.#topic.write({ at, format: FORMAT, bytes }), at };
        telemetry.emit(checkpointWritten, { at, bytes: bytes.length, ms: clock.monotonicMs() - startedMs });
      } catch (error) {
        telemetry.emit(checkpointFailed, { code: codeOf(error), reason: reasonOf(error) }); // C3
      } finally {
        this.#isWriting = false;
      }
    };
    this.#isWriting = true;
    this.#writing = store();
  }
}
