/** Follows what devices report, so that the demo's claims rest on what devices said, not on what rollout-manager made of it.
 *
 * B1. The blast radius is every device that ever reported to infer with the challenger, however briefly. */
import { topics } from "@tributary/contracts";
import type { PartitionReader } from "@tributary/kafka";

const SLOT = "perception";

export type Reported = {
  readonly digest: string;
  readonly phase: string;
  readonly code: string;
  readonly reason: string;
};

export class ReportedWatch {
  readonly #reader: PartitionReader;
  readonly #stopping = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  readonly devices = new Map<string, Reported>();
  /** By digest: devices that ever inferred with it. B1 */
  readonly everOn = new Map<string, Set<string>>();

  constructor(reader: PartitionReader) {
    this.#reader = reader;
  }

  async start(): Promise<void> {
    const { name } = topics.reported;
    const partitions = await this.#reader.partitions(name);
    this.#running = Promise.all(partitions.map((partition) => this.#follow(partition)));
    this.#running.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    await this.#running.catch(() => undefined);
  }

  /** Devices that say now that they infer with it. */
  on(digest: string): readonly string[] {
    return [...this.devices].filter(([, reported]) => reported.digest === digest).map(([deviceId]) => deviceId);
  }

  async #follow(partition: number): Promise<void> {
    const { signal } = this.#stopping;
    for await (const { value } of this.#reader.read(topics.reported.name, partition, { signal })) {
      if (value === null) continue;
      const { deviceId, slots, update } = topics.reported.codec.decodeConfluent(value);
      const digest = slots[SLOT]?.modelDigest ?? "";
      const { phase = "", code = "", reason = "" } = update ?? {};
      this.devices.set(deviceId, { digest, phase, code, reason });
      const ever = this.everOn.get(digest) ?? new Set();
      this.everOn.set(digest, ever.add(deviceId));
    }
  }
}
