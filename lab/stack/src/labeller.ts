/**
 * Replaces the people who label the random sample: reads each drawn frame as the bridge stored it, and labels it a few
 * seconds later through the gateway's API.
 *
 * It knows a photo by its bytes, not by who sent it or what a model made of it: a device cannot steer its label. A frame
 * without a final answer yet is tried again; after `triesMax` it remains without a label, and is counted.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { type GatewayClient, gatewayClient } from "@tributary/api";
import { type EdgeFrame, topics } from "@tributary/contracts";
import { follow, type PartitionReader } from "@tributary/kafka";
import { formatFrameId, reasonOf } from "@tributary/kernel";
import { followContext } from "@tributary/testing";
import type { Marks } from "./topic-log.ts";

export type LabellerOptions = {
  readonly reader: PartitionReader;
  readonly gatewayUrl: string;
  /** Class by the JPEG's SHA-256, hex. */
  readonly truths: ReadonlyMap<string, string>;
  /** The author of every label. */
  readonly labelledBy: string;
  readonly delayMs: number;
  /** Frames before are not looked at. */
  readonly from?: Marks;
  readonly onTrouble: (line: string) => void;
};

type Task = { readonly frameId: string; readonly label: string; dueMs: number; tries: number };

const BATCH_MAX = 500;
const EVERY_MS = 1_000;
const TRIES_MAX = 10;
const WAITING_MAX = 50_000;

export class Labeller {
  readonly #options: LabellerOptions;
  readonly #gateway: GatewayClient;
  readonly #stopping = new AbortController();
  #waiting: Task[] = [];
  #running: Promise<unknown> = Promise.resolve();
  seen = 0;
  labelled = 0;
  unknownPhotos = 0;
  givenUp = 0;

  constructor(options: LabellerOptions) {
    this.#options = options;
    this.#gateway = gatewayClient({ url: options.gatewayUrl });
  }

  async start(): Promise<void> {
    const { reader, from = {} } = this.#options;
    const context = followContext(reader, this.#stopping.signal);
    const since = from[topics.frames.name];
    const onFrame = (frame: EdgeFrame | null) => frame?.sampleDrawn && this.#drawn(frame);
    const { ended } = await follow(context, topics.frames, onFrame, since && { from: since });
    this.#running = Promise.all([this.#postDue(), ended]);
    this.#running.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    await this.#running.catch(() => undefined);
  }

  #drawn(frame: EdgeFrame): void {
    const { truths, delayMs } = this.#options;
    this.seen += 1;
    const label = truths.get(createHash("sha256").update(frame.jpeg).digest("hex"));
    if (label === undefined) this.unknownPhotos += 1;
    else if (this.#waiting.length < WAITING_MAX) {
      this.#waiting.push({ frameId: formatFrameId(frame), label, dueMs: performance.now() + delayMs, tries: 0 });
    } else this.givenUp += 1;
  }

  async #postDue(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const nowMs = performance.now();
      const due = this.#waiting.filter(({ dueMs }) => dueMs <= nowMs).slice(0, BATCH_MAX);
      if (due.length > 0) {
        const taken = new Set(due);
        this.#waiting = this.#waiting.filter((task) => !taken.has(task));
        await this.#post(due).catch((error: unknown) => {
          this.#again(due);
          if (!signal.aborted) this.#options.onTrouble(`labels: ${reasonOf(error)}`);
        });
        if (due.length === BATCH_MAX) continue;
      }
      await sleep(EVERY_MS);
    }
  }

  async #post(tasks: readonly Task[]): Promise<void> {
    const { labelledBy } = this.#options;
    const labels = tasks.map(({ frameId, label }) => ({ frameId, label, labelledBy }));
    const { signal } = this.#stopping;
    const { accepted, refused } = await this.#gateway.labels.take({ body: { labels } }, { signal });
    this.labelled += accepted;
    const early = new Set(refused.map(({ frameId }) => frameId));
    this.#again(tasks.filter(({ frameId }) => early.has(frameId)));
  }

  /** Tries them again later, or gives up. */
  #again(tasks: readonly Task[]): void {
    for (const task of tasks) {
      task.tries += 1;
      task.dueMs = performance.now() + 2_000;
      if (task.tries < TRIES_MAX) this.#waiting.push(task);
      else this.givenUp += 1;
    }
  }
}
