/**
 * The state of a router's devices as records of `router.state.v1`: one per dedupe window and one per pending frame, so that a
 * change writes only what changed.
 *
 *   key `DEVICE:window:BOOT:STREAM`        one window
 *   key `DEVICE:frame:BOOT:CAMERA:SEQ`     one frame; a tombstone when it is no longer pending
 *   key `DEVICE`                           the offsets alone, when no other record can carry them. Earlier versions of the
 *                                          router kept the whole state there, which is read too, and then split up.
 *
 * L1. A crash may leave any prefix of a save. So frames come first, then the windows that mark their records as seen, then the
 *     tombstones; only the last record marks the device's answers as known: until it is stored, those since the save before
 *     are replayed.
 * L2. The highest of these offsets counts, and a save's is the highest so far.
 */
import { Classifications, RouterState, topics } from "@tributary/contracts";
import type { InRecord, OutRecord } from "@tributary/kafka";
import type { Instant } from "@tributary/kernel";
import { type DeviceChanges, type DeviceSnapshot, frameKeyOf, type WindowName } from "@tributary/routing/settlement";

type Window = DeviceSnapshot["windows"][number];
type Frame = DeviceSnapshot["frames"][number];

export type StateOffsets = {
  /** The device's answers below this offset are known to its state. */
  readonly known: bigint;
  /** All devices' answers below this one are known to states stored before. */
  readonly replayFrom: bigint;
};

type Content = Pick<DeviceSnapshot, "windows" | "frames">;
const NOTHING: Content = { windows: [], frames: [] };

/** What the log holds of one device. */
export class StoredDevice {
  readonly deviceId: string;
  readonly #windows = new Map<string, Window>();
  readonly #frames = new Map<string, Frame>();
  /** Keys that are only in a record of an earlier version, which held the whole device. */
  readonly #inWhole = new Set<string>();
  #isWhole = false;

  constructor(deviceId: string) {
    this.deviceId = deviceId;
  }

  /** The records that store the changes; they count as stored from now on. */
  save(changes: DeviceChanges, offsets: StateOffsets, partition: number, now: Instant): OutRecord[] {
    const { deviceId, windows, frames } = changes;
    const goneKeys = [
      ...changes.goneFrames.map((key) => `${deviceId}:frame:${key}`),
      ...changes.goneWindows.map((name) => this.#windowKey(name)),
    ];
    const tombstones = goneKeys.filter(
      (key) => (this.#frames.has(key) || this.#windows.has(key)) && !this.#inWhole.has(key),
    );
    for (const key of goneKeys) this.leave(key);
    for (const frame of frames) this.#put(this.#frames, this.#frameKey(frame), frame, false);
    for (const window of windows) this.#put(this.#windows, this.#windowKey(window), window, false);

    const changed: [string, Content][] = [];
    const [changedFrames, changedWindows] = this.#isWhole
      ? [this.#frames.values(), this.#windows.values()]
      : [frames, windows];
    for (const frame of changedFrames) changed.push([this.#frameKey(frame), { ...NOTHING, frames: [frame] }]);
    for (const window of changedWindows) changed.push([this.#windowKey(window), { ...NOTHING, windows: [window] }]);
    const last: [string, Content] = (!this.#isWhole && tombstones.length === 0 && changed.pop()) || [deviceId, NOTHING];
    this.#isWhole = false;
    this.#inWhole.clear();
    const recordOf = ([key, content]: [string, Content], known: bigint): OutRecord => ({
      ...stateRecord(key, { deviceId, ...content }, { ...offsets, known }, now),
      partition,
    });
    return [
      ...changed.map((one) => recordOf(one, 0n)),
      ...tombstones.map((key) => tombstone(key, partition, now)),
      recordOf(last, offsets.known),
    ]; // L1
  }

  /** The tombstones of all its records. */
  forgotten(partition: number, now: Instant): OutRecord[] {
    const keys = [...this.#frames.keys(), ...this.#windows.keys(), this.deviceId];
    return keys.map((key) => tombstone(key, partition, now));
  }

  take(key: string, { windows, frames }: Content): void {
    const isWhole = key === this.deviceId;
    if (isWhole) {
      for (const replaced of this.#inWhole) this.leave(replaced);
      this.#isWhole = windows.length > 0 || frames.length > 0;
    }
    for (const frame of frames) this.#put(this.#frames, this.#frameKey(frame), frame, isWhole);
    for (const window of windows) this.#put(this.#windows, this.#windowKey(window), window, isWhole);
  }

  leave(key: string): void {
    this.#frames.delete(key);
    this.#windows.delete(key);
    this.#inWhole.delete(key);
  }

  snapshot(): DeviceSnapshot {
    const frames = [...this.#frames.values()].sort((a, b) => a.capturedAtEstimate - b.capturedAtEstimate);
    return { deviceId: this.deviceId, windows: [...this.#windows.values()], frames };
  }

  #put<T>(map: Map<string, T>, key: string, value: T, isWhole: boolean): void {
    map.delete(key); // the map's order is the order of use
    map.set(key, value);
    if (isWhole) this.#inWhole.add(key);
    else this.#inWhole.delete(key);
  }

  #frameKey = (frame: Frame): string => `${this.deviceId}:frame:${frameKeyOf(frame)}`;
  #windowKey = ({ bootId, stream }: WindowName): string => `${this.deviceId}:window:${bootId}:${stream}`;
}

/** Folds the records of one partition. */
export class StateLog {
  readonly devices = new Map<string, StoredDevice>();
  readonly known = new Map<string, bigint>();
  readonly savedAt = new Map<string, Instant>();
  replayFrom = 0n;

  /** Throws if the record cannot be read; its content is then unknown. */
  apply({ key, value }: Pick<InRecord, "key" | "value">): void {
    if (key === null) return;
    const [deviceId = ""] = key.split(":", 1);
    const device = this.devices.get(deviceId) ?? new StoredDevice(deviceId);
    if (value === null) {
      if (key === deviceId) this.devices.delete(deviceId);
      else device.leave(key);
      return;
    }
    if (key !== deviceId) device.leave(key);
    const state = RouterState.decodeConfluent(value);
    device.take(key, snapshotOf(state));
    this.devices.set(deviceId, device);
    this.known.set(deviceId, max(this.known.get(deviceId) ?? 0n, state.classificationsOffset)); // L2
    this.savedAt.set(deviceId, Math.max(this.savedAt.get(deviceId) ?? 0, state.savedAt));
    this.replayFrom = max(this.replayFrom, state.replayFrom);
  }
}

const max = (a: bigint, b: bigint): bigint => (a > b ? a : b);

function stateRecord(key: string, snapshot: DeviceSnapshot, offsets: StateOffsets, now: Instant): OutRecord {
  const { deviceId } = snapshot;
  const state: RouterState = {
    deviceId,
    classificationsOffset: offsets.known,
    replayFrom: offsets.replayFrom,
    savedAt: now,
    windows: snapshot.windows.map((window) => ({
      ...window,
      bitmap: bufferOf(window.bitmap),
      digests: bufferOf(window.digests),
    })),
    frames: snapshot.frames.map((frame) => ({
      ...frame,
      answer:
        frame.answer && Classifications.encodeConfluent({ deviceId, bootId: frame.bootId, answers: [frame.answer] }),
    })),
  };
  return { topic: topics.routerState.name, key, value: RouterState.encodeConfluent(state), timestamp: now };
}

const tombstone = (key: string, partition: number, now: Instant): OutRecord => ({
  topic: topics.routerState.name,
  partition,
  key,
  value: null,
  timestamp: now,
});

function snapshotOf(state: RouterState): DeviceSnapshot {
  return {
    deviceId: state.deviceId,
    windows: state.windows.map((window) => ({
      ...window,
      stream: window.stream === "frames" ? "frames" : "predictions",
    })),
    frames: state.frames.map((frame) => {
      const answer = frame.answer && Classifications.decodeConfluent(frame.answer).answers[0];
      return { ...frame, answer: answer ?? null };
    }),
  };
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
