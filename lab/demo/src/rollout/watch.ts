/** Follows the devices' reports, so that the demo's claims rest on them and not on rollout-manager's view.
 *
 * The blast radius is every device that ever reported to infer with the challenger, however briefly. */
import { type DeviceReported, PERCEPTION, topics } from "@tributary/contracts";
import { type Following, follow, type PartitionReader } from "@tributary/kafka";
import { followContext } from "@tributary/testing";

export type Reported = {
  readonly digest: string;
  readonly phase: string;
  readonly code: string;
  readonly reason: string;
};

export class ReportedWatch {
  readonly #reader: PartitionReader;
  readonly #stopping = new AbortController();
  #following: Following | undefined;
  readonly devices = new Map<string, Reported>();
  /** By digest: devices that ever inferred with it. */
  readonly everOn = new Map<string, Set<string>>();

  constructor(reader: PartitionReader) {
    this.#reader = reader;
  }

  async start(): Promise<void> {
    const context = followContext(this.#reader, this.#stopping.signal);
    this.#following = await follow(context, topics.reported, (reported) => reported && this.#take(reported));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#following?.ended;
  }

  /** Devices that run it by their last report. */
  on(digest: string): readonly string[] {
    return [...this.devices].filter(([, reported]) => reported.digest === digest).map(([deviceId]) => deviceId);
  }

  #take({ deviceId, slots, update }: DeviceReported): void {
    const digest = slots[PERCEPTION]?.modelDigest ?? "";
    const { phase = "", code = "", reason = "" } = update ?? {};
    this.devices.set(deviceId, { digest, phase, code, reason });
    const ever = this.everOn.get(digest) ?? new Set();
    this.everOn.set(digest, ever.add(deviceId));
  }
}
