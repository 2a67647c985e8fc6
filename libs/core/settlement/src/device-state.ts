/** What the fold remembers of one device, and its form for storage. */
import type { FinalAnswer } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { DedupeWindow } from "./dedupe-window.ts";
import { DigestWindow } from "./digest-window.ts";

export type Stream = "frames" | "predictions";

/** The boot of devices that have none: each of its records stands for itself, numbered by its digest. */
export const NO_BOOT = 0n;

/** A frame that was sent, or announced as sent. It stays until settled and known by both its records. */
export type OpenFrame = {
  readonly bootId: bigint;
  readonly cameraId: string;
  readonly frameSeq: bigint;
  settled: boolean;
  predictionSeen: boolean;
  frameSeen: boolean;
  deadlineAt: Instant;
  capturedAtEstimate: Instant;
  target: string | null;
  /** The edge answer that stands if the cloud says nothing. Null once settled. */
  answer: FinalAnswer | null;
};

export type DeviceSnapshot = {
  readonly deviceId: string;
  /** Least recently used first. */
  readonly windows: readonly {
    readonly bootId: bigint;
    readonly stream: Stream;
    readonly watermark: bigint;
    readonly bitmap: Uint8Array;
    /** Of NO_BOOT only, instead of the two before. */
    readonly digests: Uint8Array;
  }[];
  /** Oldest first. */
  readonly frames: readonly Readonly<OpenFrame>[];
};

const STREAMS = ["frames", "predictions"] as const;
const NOTHING = new Uint8Array(0);

type Digests = { readonly [stream in Stream]: DigestWindow };
type BootWindows = { readonly frames: DedupeWindow; readonly predictions: DedupeWindow };

export type FrameName = { readonly bootId: bigint; readonly cameraId: string; readonly frameSeq: bigint };
export const frameKeyOf = (frame: FrameName): string => `${frame.bootId}:${frame.cameraId}:${frame.frameSeq}`;

export class DeviceState {
  readonly deviceId: string;
  /** By frame key, oldest first. */
  readonly frames = new Map<string, OpenFrame>();
  /** Least recently used first. */
  readonly #boots = new Map<bigint, BootWindows>();
  #digests: Digests | undefined;
  touchedAt: Instant;

  constructor(deviceId: string, touchedAt: Instant) {
    this.deviceId = deviceId;
    this.touchedAt = touchedAt;
  }

  /** The window of a stream, and the boot whose windows had to go for it. */
  window(bootId: bigint, stream: Stream, bootsMax: number): { window: DedupeWindow; forgotten: bigint | null } {
    let boot = this.#boots.get(bootId);
    let forgotten: bigint | null = null;
    if (boot === undefined) {
      boot = { frames: new DedupeWindow(), predictions: new DedupeWindow() };
      if (this.#boots.size >= bootsMax) {
        forgotten = this.#boots.keys().next().value as bigint;
        this.#boots.delete(forgotten);
      }
    } else {
      this.#boots.delete(bootId);
    }
    this.#boots.set(bootId, boot);
    return { window: boot[stream], forgotten };
  }

  /** Whether a record of NO_BOOT is new. */
  markDigest(stream: Stream, digest: bigint): boolean {
    this.#digests ??= { frames: new DigestWindow(), predictions: new DigestWindow() };
    return this.#digests[stream].mark(digest);
  }

  snapshot(): DeviceSnapshot {
    const boots = [...this.#boots].flatMap(([bootId, boot]) =>
      STREAMS.map((stream) => ({ bootId, stream, ...boot[stream].state(), digests: NOTHING })),
    );
    const digests = this.#digests;
    const bootless =
      digests === undefined
        ? []
        : STREAMS.map((stream) => {
            const state = { watermark: 0n, bitmap: NOTHING, digests: digests[stream].state() };
            return { bootId: NO_BOOT, stream, ...state };
          });
    const windows = [...bootless, ...boots];
    return { deviceId: this.deviceId, windows, frames: [...this.frames.values()].map((frame) => ({ ...frame })) };
  }

  static restore(snapshot: DeviceSnapshot, touchedAt: Instant): DeviceState {
    const device = new DeviceState(snapshot.deviceId, touchedAt);
    for (const { bootId, stream, watermark, bitmap, digests } of snapshot.windows) {
      if (bootId === NO_BOOT) {
        const others = device.#digests ?? { frames: new DigestWindow(), predictions: new DigestWindow() };
        device.#digests = { ...others, [stream]: new DigestWindow(digests) };
        continue;
      }
      const boot = device.#boots.get(bootId) ?? { frames: new DedupeWindow(), predictions: new DedupeWindow() };
      device.#boots.set(bootId, { ...boot, [stream]: new DedupeWindow({ watermark, bitmap }) });
    }
    for (const frame of snapshot.frames) device.frames.set(frameKeyOf(frame), { ...frame });
    return device;
  }
}
