/**
 * One running partition: the drift of its devices, and the order in which their states reach Kafka (owned-partition.ts of
 * service-kit).
 *
 * W1. The states that include a batch are stored before it is committed. A batch that is delivered again changes nothing:
 *     the states know what they have folded.
 * W2. Windows are folded by Kafka's times of their records, so a state depends on the log alone, not on when it is read. So is a
 *     review that restarts a baseline: it takes effect with the first window that ended after it and is folded once it is known.
 */
import { DriftState, type EdgePredictions, type EdgeSketches, type GroundTruth, topics } from "@tributary/contracts";
import { DeviceDrift, type FoldSettings } from "@tributary/drift";
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
import type { Packages } from "./packages/packages.ts";
import { rebuild, type StoredDevice } from "./rebuild.ts";

export type PartitionWorkerOptions = {
  readonly number: number;
  readonly reader: PartitionReader;
  readonly fence: PartitionFence;
  readonly packages: Pick<Packages, "get" | "fetched">;
  readonly settings: () => FoldSettings;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

/** Stands for the device of a record whose key is another device's: it takes no record. */
const NOBODY = "";

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
    const { telemetry, packages } = this.#options;
    const settings = this.#options.settings();
    const fold = (device: DeviceDrift, { value, timestamp }: DecodedRecord<EdgeSketches>): Folded => {
      const { deviceId, modelDigest, ageMs } = value;
      const outcome = device.sketch(value, timestamp - ageMs, timestamp, packages.get(modelDigest), settings); // W2
      const note =
        outcome === "folded" || outcome === "repeated"
          ? () => telemetry.emit(windowFolded, { deviceId, outcome })
          : () => telemetry.emit(windowRefused, { deviceId, outcome, modelDigest });
      return { isChanged: outcome === "folded", note };
    };
    return this.#fold(records, (_device, { modelDigest }) => modelDigest, fold);
  }

  predictions(records: readonly DecodedRecord<EdgePredictions>[]): Promise<void> {
    const { telemetry, packages } = this.#options;
    const fold = (device: DeviceDrift, { value, timestamp }: DecodedRecord<EdgePredictions>): Folded => {
      const { deviceId, modelDigest } = value;
      const draws = device.predictions(value, timestamp, packages.get(modelDigest));
      return { isChanged: draws > 0, note: () => draws > 0 && telemetry.emit(drawsTaken, { deviceId, draws }) };
    };
    return this.#fold(records, (_device, { modelDigest }) => modelDigest, fold);
  }

  labels(records: readonly DecodedRecord<GroundTruth>[]): Promise<void> {
    const { telemetry, packages } = this.#options;
    const fold = (device: DeviceDrift, { value }: DecodedRecord<GroundTruth>): Folded => {
      const { deviceId } = value;
      const isIts = device.deviceId === deviceId;
      const outcome = isIts ? device.groundTruth(value, packages.get(device.drawsDigest)) : "device-mismatch";
      const note = () => telemetry.emit(labelTaken, { deviceId, outcome });
      return { isChanged: isIts, note };
    };
    return this.#fold(records, (device) => device.drawsDigest, fold);
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

  /**
   * Applies one record after another; the changed states are stored when it resolves (W1).
   *
   * @param packageOf the package whose documents a record is folded with
   */
  #fold<T extends { readonly deviceId: string }>(
    records: readonly DecodedRecord<T>[],
    packageOf: (device: DeviceDrift, value: T) => string,
    apply: (device: DeviceDrift, record: DecodedRecord<T>) => Folded,
  ): Promise<void> {
    return this.inTurn(async (devices) => {
      const changed = new Map<string, DeviceDrift>();
      const deviceOf = ({ key, value: { deviceId } }: DecodedRecord<T>): DeviceDrift => {
        const id = key === deviceId && isValidId(deviceId) ? deviceId : NOBODY;
        return changed.get(id) ?? devices.get(id)?.drift ?? new DeviceDrift(id);
      };
      await this.#options.packages.fetched(records.map((record) => packageOf(deviceOf(record), record.value)));
      const notes: Note[] = [];
      try {
        for (const record of records) {
          const device = deviceOf(record);
          const { isChanged, note } = apply(device, record);
          notes.push(note);
          if (isChanged) changed.set(device.deviceId, device);
        }
      } catch (error) {
        this.forget("apply-failed", reasonOf(error)); // O3
        throw error;
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
