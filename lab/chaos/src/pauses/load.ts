/** Frames and predictions as a bridge stores them, at a steady rate, and an account of their answers. */
import { setTimeout as sleep } from "node:timers/promises";
import { type Classifications, EdgeFrame, EdgePredictions, topics } from "@tributary/contracts";
import { type Following, follow, KafkajsSink, KafkaReader, type OutRecord } from "@tributary/kafka";
import { followContext, sampleFrames, someFrame, somePrediction, somePredictions } from "@tributary/testing";

export type LoadOptions = {
  readonly brokers: readonly string[];
  readonly prefix: string;
  readonly partitions: number;
  readonly framesPerSecond: number;
};

const DEVICES = 40;
const TICK_MS = 500;
/** One of so many frames is sent to the cloud. */
const SENT_EVERY = 5;
const DEADLINES_MS = [2_000, 5_000, 20_000];
/** The frame of every fourth sent one follows so many ticks after its prediction: open for that long at least. */
const LATE_TICKS = 6;

type Seen = { readonly text: string; count: number; contradicts: boolean };

export class Load {
  readonly #options: LoadOptions;
  readonly #sink: KafkajsSink;
  readonly #reader: KafkaReader;
  readonly #stop = new AbortController();
  readonly #acknowledged = new Set<string>();
  readonly #answers = new Map<string, Seen>();
  #running: Promise<void> = Promise.resolve();
  #following: Following | undefined;
  #isOn = false;
  #frameSeq = 0n;
  readonly #seqs = new Map<string, bigint>();
  #sentFrames = 0;

  constructor(options: LoadOptions) {
    this.#options = options;
    const kafka = { brokers: options.brokers, prefix: options.prefix, clientId: "chaos-load" };
    this.#sink = new KafkajsSink(kafka);
    this.#reader = new KafkaReader(kafka);
  }

  get frames(): number {
    return this.#acknowledged.size;
  }

  get answered(): number {
    return this.#answers.size;
  }

  async start(): Promise<void> {
    const context = followContext(this.#reader, this.#stop.signal);
    this.#following = await follow(context, topics.classifications, (record) => record && this.#answered(record));
    const photos = (await sampleFrames(200)).map(({ jpeg }) => jpeg);
    this.#running = this.#run(photos);
    this.resume();
  }

  pause(): void {
    this.#isOn = false;
  }

  resume(): void {
    this.#isOn = true;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([this.#running, this.#following?.ended]);
    await this.#sink.close();
    await this.#reader.close();
  }

  /** Of the frames that Kafka had acknowledged. */
  account() {
    const unanswered = [...this.#acknowledged].filter((frame) => !this.#answers.has(frame));
    const seen = [...this.#answers.values()];
    return {
      frames: this.#acknowledged.size,
      sent: this.#sentFrames,
      unanswered: unanswered.length,
      repeated: seen.filter(({ count }) => count > 1).length,
      contradicting: seen.filter(({ contradicts }) => contradicts).length,
      examples: unanswered.slice(0, 5),
    };
  }

  async #run(photos: readonly Buffer[]): Promise<void> {
    const late: { readonly atTick: number; readonly record: OutRecord }[] = [];
    const framesPerTick = Math.max(1, Math.round((this.#options.framesPerSecond * TICK_MS) / 1_000 / DEVICES));
    for (let tick = 0; !this.#stop.signal.aborted; tick++) {
      const startedAtMs = performance.now();
      if (this.#isOn || late.length > 0) {
        const records: OutRecord[] = [];
        while (late[0] !== undefined && late[0].atTick <= tick) records.push((late.shift() as (typeof late)[0]).record);
        const names: string[] = [];
        for (let device = 0; this.#isOn && device < DEVICES; device++) {
          const deviceId = `device-${device}`;
          const predictions = Array.from({ length: framesPerTick }, (_, i) => {
            const frameSeq = ++this.#frameSeq;
            names.push(`${deviceId}:${frameSeq}`);
            const n = Number(frameSeq);
            if ((i + tick) % SENT_EVERY !== 0) return somePrediction({ frameSeq });
            this.#sentFrames++;
            const deadlineMs = DEADLINES_MS[n % DEADLINES_MS.length] as number;
            const seq = this.#next(`${deviceId}:frames`);
            const jpeg = photos[n % photos.length] as Buffer;
            const frame = someFrame({
              deviceId,
              seq,
              frameSeq,
              deadlineMs,
              jpeg,
              reason: n % 7 === 0 ? "PRIORITY" : "AMBIGUOUS",
            });
            const record = { topic: topics.frames.name, key: deviceId, value: EdgeFrame.encodeConfluent(frame) };
            if (n % 4 === 0) late.push({ atTick: tick + LATE_TICKS, record });
            else records.push(record);
            return somePrediction({ frameSeq, deadlineMs, escalation: "QUEUED", reason: frame.reason, score: 0.4 });
          });
          const batch = somePredictions({ deviceId, seq: this.#next(`${deviceId}:predictions`), predictions });
          records.push({
            topic: topics.predictions.name,
            key: deviceId,
            value: EdgePredictions.encodeConfluent(batch),
          });
        }
        await this.#sink.send(records);
        for (const name of names) this.#acknowledged.add(name);
      }
      const waitMs = Math.max(0, startedAtMs + TICK_MS - performance.now());
      await sleep(waitMs);
    }
  }

  #next(stream: string): bigint {
    const seq = (this.#seqs.get(stream) ?? 0n) + 1n;
    this.#seqs.set(stream, seq);
    return seq;
  }

  #answered({ deviceId, answers }: Classifications): void {
    for (const { frameSeq, label, source, settledBy } of answers) {
      const name = `${deviceId}:${frameSeq}`;
      const text = `${label} ${source} ${settledBy}`;
      const seen = this.#answers.get(name);
      if (seen === undefined) this.#answers.set(name, { text, count: 1, contradicts: false });
      else {
        seen.count++;
        seen.contradicts ||= seen.text !== text;
      }
    }
  }
}
