/**
 * One running partition: the drift of its devices, and the order in which their states reach Kafka (owned-partition.ts of
 * service-kit).
 *
 * W1. The states that include a batch are stored before it is committed. A batch that is delivered again changes nothing:
 *     the states know what they have folded.
 * W2. Windows are folded by Kafka's times of their records, so a state depends on the log alone, not on when it is read.
 */
import { DriftState, type EdgePredictions, type EdgeSketches, type GroundTruth, topics } from "@tributary/contracts";
import { DeviceDrift, type DriftReference, type SketchOutcome } from "@tributary/drift";
import type { OutRecord, PartitionFence, PartitionReader } from "@tributary/kafka";
import { type Clock, isValidId, reasonOf } from "@tributary/kernel";
import { type DecodedRecord, OwnedPartition } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import {
  drawsTaken,
  labelTaken,
  partitionForgotten,
  partitionRebuilt,
  statesWritten,
  windowFolded,
  windowRefused,
} from "./events.ts";
import { rebuild, type StoredDevice } from "./rebuild.ts";

export type PartitionWorkerOptions = {
  readonly number: number;
  readonly reader: PartitionReader;
  readonly fence: PartitionFence;
  readonly referenceOf: (modelDigest: string) => DriftReference | undefined;
  /** Streams of the whole fleet. */
  readonly streams: () => number;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Memory = Map<string, StoredDevice>;

/** What is reported of a record once the state that includes it is stored. */
type Note = () => void;
type Folded = { readonly isChanged: boolean; readonly note: Note };

export class PartitionWorker extends OwnedPartition<Memory> {
  readonly #options: PartitionWorkerOptions;

  constructor(options: PartitionWorkerOptions) {
    const { number: partition, telemetry } = options;
    super({
      ...options,
      rebuild: (signal) => rebuild({ ...options, signal }),
      onRebuilt: ({ size: devices }, ms) => telemetry.emit(partitionRebuilt, { partition, devices, ms }),
      onForgotten: ({ code, reason }) => telemetry.emit(partitionForgotten, { partition, code, reason }),
    });
    this.#options = options;
  }

  get devices(): number {
    return this.memory?.size ?? 0;
  }

  sketches(records: readonly DecodedRecord<EdgeSketches>[]): Promise<void> {
    const { telemetry, referenceOf } = this.#options;
    const settings = { streams: this.#options.streams() };
    return this.#fold(records, (device, { key, value, timestamp }) => {
      const { deviceId, modelDigest, ageMs } = value;
      const outcome: SketchOutcome =
        key === deviceId
          ? device.sketch(value, timestamp - ageMs, timestamp, referenceOf(modelDigest), settings) // W2
          : "device-mismatch";
      const note =
        outcome === "folded" || outcome === "repeated"
          ? () => telemetry.emit(windowFolded, { deviceId, outcome })
          : () => telemetry.emit(windowRefused, { deviceId, outcome, modelDigest });
      return { isChanged: outcome === "folded", note };
    });
  }

  predictions(records: readonly DecodedRecord<EdgePredictions>[]): Promise<void> {
    const { telemetry, referenceOf } = this.#options;
    return this.#fold(records, (device, { value, timestamp }) => {
      const { deviceId, modelDigest } = value;
      const draws = device.predictions(value, timestamp, referenceOf(modelDigest));
      return { isChanged: draws > 0, note: () => draws > 0 && telemetry.emit(drawsTaken, { deviceId, draws }) };
    });
  }

  labels(records: readonly DecodedRecord<GroundTruth>[]): Promise<void> {
    const { telemetry, referenceOf } = this.#options;
    return this.#fold(records, (device, { value }) => {
      const { deviceId } = value;
      const outcome = device.groundTruth(value, referenceOf(device.findings().drawsDigest));
      return { isChanged: true, note: () => telemetry.emit(labelTaken, { deviceId, outcome }) };
    });
  }

  /** Forgets devices that changed nothing for `idleMsMax`, and their stored states. */
  prune(idleMsMax: number): Promise<void> {
    return this.whenIdle(async (devices) => {
      const before = this.#options.clock.now() - idleMsMax;
      const gone = [...devices].filter(([, { savedAt }]) => savedAt < before).map(([deviceId]) => deviceId);
      await this.send(devices, () => gone.map((deviceId) => this.#record(deviceId, null)));
      for (const deviceId of gone) devices.delete(deviceId);
    });
  }

  /** Applies one record after another; the changed states are stored when it resolves (W1). */
  #fold<T extends { readonly deviceId: string }>(
    records: readonly DecodedRecord<T>[],
    apply: (device: DeviceDrift, record: DecodedRecord<T>) => Folded,
  ): Promise<void> {
    return this.inTurn(async (devices) => {
      const changed = new Map<string, DeviceDrift>();
      const notes: Note[] = [];
      for (const record of records) {
        const { deviceId } = record.value;
        const key = isValidId(deviceId) && record.key === deviceId ? deviceId : "";
        const device = changed.get(key) ?? devices.get(key)?.drift ?? new DeviceDrift(key);
        try {
          const { isChanged, note } = apply(device, record);
          notes.push(note);
          if (isChanged && key !== "") changed.set(key, device);
        } catch (error) {
          this.forget("apply-failed", reasonOf(error)); // O3
          throw error;
        }
      }
      await this.#store(devices, changed);
      for (const note of notes) note();
    });
  }

  async #store(devices: Memory, changed: ReadonlyMap<string, DeviceDrift>): Promise<void> {
    const { clock, telemetry, number: partition } = this.#options;
    const savedAt = clock.now();
    let bytes = 0;
    await this.send(devices, () =>
      [...changed].map(([deviceId, drift]) => {
        const value = DriftState.encodeConfluent({ deviceId, savedAt, state: bufferOf(drift.encode()) });
        bytes += value.length;
        return this.#record(deviceId, value);
      }),
    );
    for (const [deviceId, drift] of changed) devices.set(deviceId, { drift, savedAt });
    if (changed.size > 0) telemetry.emit(statesWritten, { partition, states: changed.size, bytes });
  }

  #record(deviceId: string, value: Buffer | null): OutRecord {
    return { topic: topics.driftState.name, key: deviceId, partition: this.number, value };
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
