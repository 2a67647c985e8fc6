/**
 * The final answers of some devices, read from classifications.v1 as far as they are wanted: nothing is read while a period is
 * measured, and records of other devices are passed over unread.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Classifications, topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";
import { formatFrameId } from "@tributary/kernel";

type Seen = { readonly text: string; count: number; contradicts: boolean };

const { name: TOPIC, codec } = topics.classifications;

export class AnswerLog {
  readonly #reader: PartitionReader;
  readonly #devices: ReadonlySet<string>;
  readonly #next: bigint[];
  readonly #answers = new Map<string, Seen>();

  /** Of answers from now on. */
  static async open(reader: PartitionReader, devices: Iterable<string>): Promise<AnswerLog> {
    const partitions = await reader.partitions(TOPIC);
    const next = await Promise.all(partitions.map(async (partition) => (await reader.offsets(TOPIC, partition)).next));
    return new AnswerLog(reader, new Set(devices), next);
  }

  private constructor(reader: PartitionReader, devices: ReadonlySet<string>, next: bigint[]) {
    this.#reader = reader;
    this.#devices = devices;
    this.#next = next;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** Frames with more than one answer, and those whose answers differ. */
  get repeats(): { readonly repeated: number; readonly contradicting: number } {
    const seen = [...this.#answers.values()];
    return {
      repeated: seen.filter(({ count }) => count > 1).length,
      contradicting: seen.filter(({ contradicts }) => contradicts).length,
    };
  }

  async readOn(): Promise<void> {
    await Promise.all(this.#next.map((from, partition) => this.#readPartition(partition, from)));
  }

  without(frameIds: Iterable<string>): string[] {
    return [...frameIds].filter((frameId) => !this.#answers.has(frameId));
  }

  /** The frames that are without an answer once none has come for `silenceMs`. */
  async untilAnswered(frameIds: Iterable<string>, silenceMs: number): Promise<readonly string[]> {
    let left = [...frameIds];
    for (let [before, changedMs] = [-1, performance.now()]; ; ) {
      await this.readOn();
      left = this.without(left);
      if (left.length === 0 || (this.size === before && performance.now() - changedMs > silenceMs)) return left;
      if (this.size !== before) [before, changedMs] = [this.size, performance.now()];
      await sleep(500);
    }
  }

  async #readPartition(partition: number, from: bigint): Promise<void> {
    const { next: until } = await this.#reader.offsets(TOPIC, partition);
    if (until <= from) return;
    for await (const { key, value } of this.#reader.read(TOPIC, partition, { from, until })) {
      if (key === null || key === undefined || value === null || !this.#devices.has(key)) continue;
      this.#take(codec.decodeConfluent(value));
    }
    this.#next[partition] = until;
  }

  #take({ deviceId, bootId, answers }: Classifications): void {
    for (const { cameraId, frameSeq, label, source, settledBy } of answers) {
      const frameId = formatFrameId({ deviceId, bootId, cameraId, frameSeq });
      const text = `${label} ${source} ${settledBy}`;
      const seen = this.#answers.get(frameId);
      if (seen === undefined) this.#answers.set(frameId, { text, count: 1, contradicts: false });
      else {
        seen.count++;
        seen.contradicts ||= seen.text !== text;
      }
    }
  }
}
