/** The fleet's devices, slot by slot: the state that each reports, its desired state, and which desired states are still to be
 * written. A device's desired state only ever gets a newer generation (G6). It is written again while the device follows an
 * older one, and an older state that another instance may have written is overwritten. */
import type { Instant } from "@tributary/kernel";

/** What a device reports of one slot. */
export type DeviceState = {
  /** The last desired state that it accepted; 0: none. */
  readonly generation: bigint;
  /** What it infers with. */
  readonly modelDigest: string;
  /** Whether that reproduces its golden frames there; null: not tried. */
  readonly goldenPassed: boolean | null;
  /** How far its last desired state is. */
  readonly update: {
    readonly generation: bigint;
    readonly modelDigest: string;
    readonly phase: string;
    readonly code: string;
    readonly reason: string;
  } | null;
  /** When that was received. */
  readonly at: Instant;
};

/** In slot `policy`: no version is pinned, so the policy in force for the device's model decides. */
export const UNPINNED = "";

/** What a device shall run in a slot. */
export type Wanted = {
  readonly generation: bigint;
  readonly modelDigest: string;
  /** Of the experiment that decided; absent: none did. */
  readonly arm?: string;
  /** The rollout or experiment that decided. */
  readonly uid: string;
  readonly why: string;
};

export type DesiredChange = Wanted & { readonly deviceId: string; readonly slot: string };

export type DesiredState = { readonly generation: bigint; readonly modelDigest: string };

/** A device in a slot. One object, found once a report: a fleet's rollouts pass over these many times a minute. */
export type DeviceEntry = {
  readonly deviceId: string;
  state: DeviceState | null;
  wanted: Wanted | null;
  written: (DesiredState & { readonly at: Instant }) | null;
};

type Slot = {
  readonly entries: Map<string, DeviceEntry>;
  /** Whose wanted state may not be written yet. */
  readonly due: Set<DeviceEntry>;
  sweptAt: Instant;
};

const DESIRED_MAX = 10_000;

export class DeviceSlots {
  readonly #resendMs: number;
  readonly #slots = new Map<string, Slot>();

  /** @param resendMs - The desired state of a device that follows an older generation for so long is written again. */
  constructor(resendMs: number) {
    this.#resendMs = resendMs;
  }

  entriesOf(slot: string, deviceIds: readonly string[]): readonly DeviceEntry[] {
    return deviceIds.map((deviceId) => this.#entry(slot, deviceId));
  }

  reported(deviceId: string, slot: string, state: DeviceState): void {
    this.#entry(slot, deviceId).state = state;
  }

  /** The device is not of the fleet any more (revoked, or its reports were deleted): nothing waits for it. */
  forget(deviceId: string): void {
    for (const { entries } of this.#slots.values()) {
      const entry = entries.get(deviceId);
      if (entry !== undefined) entry.state = null;
    }
  }

  want(slotName: string, entries: readonly DeviceEntry[], wanted: Wanted): void {
    const slot = this.#slot(slotName);
    for (const entry of entries) {
      if ((entry.wanted?.generation ?? -1n) >= wanted.generation) continue;
      entry.wanted = wanted;
      if ((entry.written?.generation ?? -1n) < wanted.generation) slot.due.add(entry);
    }
  }

  /** What the device shall run, by slot: all of it goes into one desired state. */
  wanted(deviceId: string): ReadonlyMap<string, Wanted> {
    const wanted = new Map<string, Wanted>();
    for (const [slot, { entries }] of this.#slots) {
      const one = entries.get(deviceId)?.wanted ?? null;
      if (one !== null) wanted.set(slot, one);
    }
    return wanted;
  }

  /** What devices.desired.v1 holds for a device now, from whichever instance. */
  written(deviceId: string, slot: string, desired: DesiredState, at: Instant): void {
    const entry = this.#entry(slot, deviceId);
    entry.written = { ...desired, at };
    if (desired.generation < (entry.wanted?.generation ?? 0n)) this.#slot(slot).due.add(entry);
  }

  /** What is to be written for devices now; `written` confirms it. At most `max`, the rest with the next call (G9). */
  desired(now: Instant, max = DESIRED_MAX): readonly DesiredChange[] {
    const changes: DesiredChange[] = [];
    for (const [name, slot] of this.#slots) {
      this.#sweep(slot, now);
      for (const entry of slot.due) {
        if (changes.length >= max) return changes;
        slot.due.delete(entry);
        const { deviceId, wanted } = entry;
        if (wanted !== null && this.#isDue(entry, now)) changes.push({ ...wanted, deviceId, slot: name });
      }
    }
    return changes;
  }

  /** It was not written yet, or it was written long ago and the device still follows an older one. */
  #isDue({ wanted, written, state }: DeviceEntry, now: Instant): boolean {
    if (wanted === null) return false;
    if (written === null || written.generation < wanted.generation) return true;
    return (state?.generation ?? 0n) < wanted.generation && now - written.at >= this.#resendMs;
  }

  #sweep(slot: Slot, now: Instant): void {
    if (now - slot.sweptAt < this.#resendMs / 4) return;
    slot.sweptAt = now;
    for (const entry of slot.entries.values()) if (this.#isDue(entry, now)) slot.due.add(entry);
  }

  #slot(name: string): Slot {
    const known = this.#slots.get(name);
    if (known !== undefined) return known;
    const slot: Slot = { entries: new Map(), due: new Set(), sweptAt: Number.NEGATIVE_INFINITY };
    this.#slots.set(name, slot);
    return slot;
  }

  #entry(slot: string, deviceId: string): DeviceEntry {
    const { entries } = this.#slot(slot);
    const known = entries.get(deviceId);
    if (known !== undefined) return known;
    const entry: DeviceEntry = { deviceId, state: null, wanted: null, written: null };
    entries.set(deviceId, entry);
    return entry;
  }
}
