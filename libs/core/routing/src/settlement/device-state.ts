/**
 * What the fold remembers of one device, and its form for storage.
 *
 * Everything that changes is noted, so that a save costs what changed since the one before, not all that is known: a device
 * with thousands of open frames would otherwise make every small message of its own cost as much as they do. */
import type { FinalAnswer } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { DedupeWindow } from "./dedupe-window.ts";
import { DigestWindow } from "./digest-window.ts";

export type Stream = "frames" | "predictions";

/** The boot of devices that have none: each of its records stands for itself, numbered by its digest. */
export const NO_BOOT = 0n;

/** A frame that was sent, or announced as sent. It stays until settled and known by both its records. */
export type OpenFrame = FrameName & {
  readonly settled: boolean;
  readonly predictionSeen: boolean;
  readonly frameSeen: boolean;
  readonly deadlineAt: Instant;
  readonly capturedAtEstimate: Instant;
  readonly target: string | null;
  /** The edge answer that stands if the cloud does not answer. Null once settled. */
  readonly answer: FinalAnswer | null;
};

export type WindowName = { readonly bootId: bigint; readonly stream: Stream };
export type WindowState = WindowName & {
  readonly watermark: bigint;
  readonly bitmap: Uint8Array;
  /** Of NO_BOOT only, instead of the two before. */
  readonly digests: Uint8Array;
};

export type DeviceSnapshot = {
  readonly deviceId: string;
  /** Least recently used first. */
  readonly windows: readonly WindowState[];
  /** Oldest first. */
  readonly frames: readonly OpenFrame[];
};

/** Changes of a device since they were last taken; what is gone may never have been in an earlier change. */
export type DeviceChanges = DeviceSnapshot & {
  readonly goneWindows: readonly WindowName[];
  /** By frame key. */
  readonly goneFrames: readonly string[];
};

export type FrameName = { readonly bootId: bigint; readonly cameraId: string; readonly frameSeq: bigint };
export const frameKeyOf = (frame: FrameName): string => `${frame.bootId}:${frame.cameraId}:${frame.frameSeq}`;

const STREAMS = ["frames", "predictions"] as const;
const NOTHING = new Uint8Array(0);

type Windows<T> = { readonly [stream in Stream]: T };
const windowsOf = <T>(make: () => T): Windows<T> => ({ frames: make(), predictions: make() });

export class DeviceState {
  readonly deviceId: string;
  touchedAt: Instant;
  /** By frame key, oldest first. */
  readonly #frames = new Map<string, OpenFrame>();
  /** Keys of those that are settled, in the order in which they were. */
  readonly #settled = new Set<string>();
  /** Least recently used first. */
  readonly #boots = new Map<bigint, Windows<DedupeWindow>>();
  #digests: Windows<DigestWindow> | undefined;
  #changedFrames = new Set<string>();
  /** What changed last stands last. */
  #changedWindows = new Map<string, WindowName>();

  constructor(deviceId: string, touchedAt: Instant) {
    this.deviceId = deviceId;
    this.touchedAt = touchedAt;
  }

  get frames(): ReadonlyMap<string, OpenFrame> {
    return this.#frames;
  }

  get oldestSettled(): string | undefined {
    return this.#settled.values().next().value;
  }

  put(key: string, frame: OpenFrame): void {
    this.#frames.set(key, frame);
    if (frame.settled) this.#settled.add(key);
    this.#changedFrames.add(key);
  }

  /** Returns the frame as it is then. */
  change(key: string, frame: OpenFrame, what: Partial<OpenFrame>): OpenFrame {
    const changed = { ...frame, ...what };
    this.put(key, changed);
    return changed;
  }

  drop(key: string): void {
    this.#frames.delete(key);
    this.#settled.delete(key);
    this.#changedFrames.add(key);
  }

  /**
   * Notes a record of a boot as seen: whether it is new, how many holes were given up for it, and the boot whose windows had
   * to go for this one's.
   */
  mark(bootId: bigint, stream: Stream, seq: bigint, bootsMax: number): Marked {
    let boot = this.#boots.get(bootId);
    let forgotten: bigint | null = null;
    if (boot === undefined) {
      boot = windowsOf(() => new DedupeWindow());
      if (this.#boots.size >= bootsMax) {
        forgotten = this.#boots.keys().next().value as bigint;
        this.#boots.delete(forgotten);
        for (const of of STREAMS) this.#windowChanged(forgotten, of);
      }
    } else {
      this.#boots.delete(bootId);
    }
    this.#boots.set(bootId, boot);
    const { fresh, skipped } = boot[stream].mark(Number(seq));
    if (fresh) this.#windowChanged(bootId, stream);
    return { fresh, skipped, forgotten };
  }

  /** Whether a record of NO_BOOT is new. */
  markDigest(stream: Stream, digest: bigint): boolean {
    this.#digests ??= windowsOf(() => new DigestWindow());
    this.#windowChanged(NO_BOOT, stream);
    return this.#digests[stream].mark(digest);
  }

  snapshot(): DeviceSnapshot {
    const boots = this.#digests === undefined ? [...this.#boots.keys()] : [NO_BOOT, ...this.#boots.keys()];
    const windows = boots.flatMap((bootId) => STREAMS.flatMap((stream) => this.#windowState({ bootId, stream }) ?? []));
    return { deviceId: this.deviceId, windows, frames: [...this.#frames.values()] };
  }

  /** What changed since it was last asked for. */
  takeChanges(): DeviceChanges {
    const windows: WindowState[] = [];
    const goneWindows: WindowName[] = [];
    for (const name of this.#changedWindows.values()) {
      const state = this.#windowState(name);
      if (state === undefined) goneWindows.push(name);
      else windows.push(state);
    }
    const frames: OpenFrame[] = [];
    const goneFrames: string[] = [];
    for (const key of this.#changedFrames) {
      const frame = this.#frames.get(key);
      if (frame === undefined) goneFrames.push(key);
      else frames.push(frame);
    }
    this.#changedWindows = new Map();
    this.#changedFrames = new Set();
    return { deviceId: this.deviceId, windows, frames, goneWindows, goneFrames };
  }

  static restore(snapshot: DeviceSnapshot, touchedAt: Instant): DeviceState {
    const device = new DeviceState(snapshot.deviceId, touchedAt);
    for (const { bootId, stream, watermark, bitmap, digests } of snapshot.windows) {
      if (bootId === NO_BOOT) {
        const others = device.#digests ?? windowsOf(() => new DigestWindow());
        device.#digests = { ...others, [stream]: new DigestWindow(digests) };
        continue;
      }
      const boot = device.#boots.get(bootId) ?? windowsOf(() => new DedupeWindow());
      device.#boots.delete(bootId); // the later of its windows has the time of its last use
      device.#boots.set(bootId, { ...boot, [stream]: new DedupeWindow({ watermark, bitmap }) });
    }
    for (const frame of snapshot.frames) device.put(frameKeyOf(frame), frame);
    device.takeChanges();
    return device;
  }

  #windowChanged(bootId: bigint, stream: Stream): void {
    const name = `${bootId}:${stream}`;
    this.#changedWindows.delete(name);
    this.#changedWindows.set(name, { bootId, stream });
  }

  #windowState({ bootId, stream }: WindowName): WindowState | undefined {
    if (bootId === NO_BOOT) {
      const digests = this.#digests?.[stream].state();
      return digests && { bootId, stream, watermark: 0n, bitmap: NOTHING, digests };
    }
    const state = this.#boots.get(bootId)?.[stream].state();
    return state && { bootId, stream, ...state, digests: NOTHING };
  }
}

export type Marked = { readonly fresh: boolean; readonly skipped: number; readonly forgotten: bigint | null };
