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
  readonly #slot: string;
  readonly #stopping = new AbortController();
  #following: Following | undefined;
  readonly devices = new Map<string, Reported>();
  /** By digest: devices that ever inferred with it. */
  readonly everOn = new Map<string, Set<string>>();
  /** By digest of what was wanted, and code: devices that ever reported it. */
  readonly #everCodes = new Map<string, Set<string>>();

  constructor(reader: PartitionReader, slot = PERCEPTION) {
    this.#reader = reader;
    this.#slot = slot;
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

  /** Devices that reported this code about it. */
  everReported(digest: string, code: string): readonly string[] {
    return [...(this.#everCodes.get(`${digest} ${code}`) ?? [])];
  }

  #take({ deviceId, slots, update }: DeviceReported): void {
    const digest = slots[this.#slot]?.modelDigest ?? "";
    const own = update?.slot === this.#slot ? update : null;
    const { phase = "", code = "", reason = "" } = own ?? {};
    if (own !== null) {
      const key = `${own.modelDigest} ${code}`;
      this.#everCodes.set(key, (this.#everCodes.get(key) ?? new Set()).add(deviceId));
    }
    this.devices.set(deviceId, { digest, phase, code, reason });
    const ever = this.everOn.get(digest) ?? new Set();
    this.everOn.set(digest, ever.add(deviceId));
  }
}
