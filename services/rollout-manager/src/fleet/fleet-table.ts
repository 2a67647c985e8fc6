/** The fleet as its devices report it: who may connect, what each device runs, and how far its last update is.
 *
 * F1. Only the newest report of a device holds, by boot and number: an older one is replayed or late, and is ignored.
 * F2. A device is known once it reports; one that is only registered gets no desired state yet.
 * F3. Strings that thousands of devices share are stored once. */
import { DeviceDesired, type DeviceRegistration, type DeviceReported, type UpdatePhase } from "@tributary/contracts";
import { type Instant, isValidId } from "@tributary/kernel";

export type Update = {
  readonly generation: bigint;
  readonly slot: string;
  readonly modelDigest: string;
  readonly phase: UpdatePhase;
  readonly code: string;
  readonly reason: string;
};

export type FleetMember = {
  readonly deviceId: string;
  readonly hardwareClass: string;
  readonly cameras: string;
  /** Digest of the package that it reports to run, by slot, hex. */
  readonly slots: Readonly<Record<string, string>>;
  /** Routing policy that it reports to decide by. */
  readonly policyVersion: string;
  readonly generation: bigint;
  readonly update: Update | null;
  readonly goldenPassed: boolean | null;
  /** Its agent reads desired states. */
  readonly takesDesiredState: boolean;
  /** Its agent supports maintenance windows. */
  readonly knowsWindows: boolean;
  readonly bootId: bigint;
  readonly seq: bigint;
  /** Kafka's time of the report. */
  readonly at: Instant;
  /** Kafka's time of the first report that named these slots. */
  readonly slotsAt: Instant;
};

/** Why a report is ignored; null: it is taken. */
export type Ignored = "replayed" | "malformed" | null;

const TEXT_MAX = 200;
/** Version of DeviceDesired. */
const WINDOWS_SINCE = 2;

export class FleetTable {
  readonly #members = new Map<string, FleetMember>();
  readonly #registered = new Map<string, { readonly isRevoked: boolean; readonly site: string }>();
  readonly #texts = new Map<string, string>();

  get size(): number {
    return this.#members.size;
  }

  get(deviceId: string): FleetMember | undefined {
    return this.#members.get(deviceId);
  }

  members(): Iterable<FleetMember> {
    return this.#members.values();
  }

  isRevoked(deviceId: string): boolean {
    return this.#registered.get(deviceId)?.isRevoked ?? false;
  }

  siteOf(deviceId: string): string {
    return this.#registered.get(deviceId)?.site ?? "";
  }

  registered(deviceId: string, registration: DeviceRegistration | null): void {
    if (registration === null) this.#registered.delete(deviceId);
    else
      this.#registered.set(deviceId, {
        isRevoked: registration.status === "REVOKED",
        site: this.#shared(registration.site),
      });
  }

  reported(deviceId: string, reported: DeviceReported | null, at: Instant): Ignored {
    if (reported === null) {
      this.#members.delete(deviceId);
      return null;
    }
    const { bootId, seq, generation } = reported;
    if (reported.deviceId !== deviceId || !isValidId(deviceId) || generation < 0n) return "malformed";
    const before = this.#members.get(deviceId);
    // F1. A device without boots (0) has no order but that of the log.
    const isOlder = before !== undefined && (bootId < before.bootId || (bootId === before.bootId && seq < before.seq));
    if (bootId !== 0n && isOlder) return "replayed";
    this.#members.set(deviceId, this.#memberOf(reported, at, before));
    return null;
  }

  #memberOf(reported: DeviceReported, at: Instant, before: FleetMember | undefined): FleetMember {
    const { update, acceptedSchemas, goldenPassed, bootId, seq, generation } = reported;
    const slots = Object.fromEntries(
      Object.entries(reported.slots).map(([slot, { modelDigest }]) => [this.#shared(slot), this.#shared(modelDigest)]),
    );
    const isSame = before !== undefined && JSON.stringify(before.slots) === JSON.stringify(slots);
    return {
      deviceId: before?.deviceId ?? reported.deviceId,
      generation,
      goldenPassed,
      policyVersion: this.#shared(reported.policyVersion.slice(0, TEXT_MAX)),
      bootId,
      seq,
      at,
      hardwareClass: this.#shared(reported.hardwareClass),
      cameras: this.#shared([...reported.cameras].sort().join(",")),
      slots: isSame ? before.slots : slots,
      slotsAt: isSame ? before.slotsAt : at,
      update: update && {
        generation: update.generation,
        slot: this.#shared(update.slot),
        modelDigest: this.#shared(update.modelDigest),
        phase: update.phase,
        code: this.#shared(update.code.slice(0, 64)),
        reason: this.#shared(update.reason.slice(0, TEXT_MAX)),
      },
      takesDesiredState: DeviceDesired.versions.some(({ fingerprint }) => acceptedSchemas.includes(fingerprint)),
      knowsWindows: DeviceDesired.versions.some(
        ({ version, fingerprint }) => version >= WINDOWS_SINCE && acceptedSchemas.includes(fingerprint),
      ),
    };
  }

  /** F3. Reasons may differ for every device, so the number of shared strings is bounded. */
  #shared(text: string): string {
    const known = this.#texts.get(text);
    if (known !== undefined) return known;
    if (this.#texts.size >= 50_000) this.#texts.clear();
    this.#texts.set(text, text);
    return text;
  }
}
