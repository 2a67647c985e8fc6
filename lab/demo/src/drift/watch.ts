/** Follows drift-monitor's public topic, and how many windows each device has sent. */
import { type DriftVerdict, topics } from "@tributary/contracts";
import { follow, type PartitionReader } from "@tributary/kafka";
import { followContext } from "@tributary/testing";

export class DriftWatch {
  readonly #reader: PartitionReader;
  readonly #stopping = new AbortController();
  #ended: Promise<unknown> = Promise.resolve();
  /** By device. */
  readonly windows = new Map<string, number>();
  /** Every version of every verdict, as they were written. */
  readonly history: DriftVerdict[] = [];
  onVerdict: (verdict: DriftVerdict) => void = () => undefined;

  constructor(reader: PartitionReader) {
    this.#reader = reader;
  }

  async start(): Promise<void> {
    const context = followContext(this.#reader, this.#stopping.signal);
    const followed = await Promise.all([
      follow(context, topics.sketches, (sketch) => {
        if (sketch !== null) this.windows.set(sketch.deviceId, (this.windows.get(sketch.deviceId) ?? 0) + 1);
      }),
      follow(context, topics.driftVerdicts, (verdict) => {
        if (verdict === null) return;
        this.history.push(verdict);
        this.onVerdict(verdict);
      }),
    ]);
    this.#ended = Promise.all(followed.map(({ ended }) => ended));
    this.#ended.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended.catch(() => undefined);
  }
}
