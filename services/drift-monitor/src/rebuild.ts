/**
 * The devices of one partition, from the states that are stored of them.
 *
 * R1. The log is read to its end once the partition is claimed: its former owner cannot append to it any more
 *     (owned-partition.ts O2).
 * R2. A state that cannot be read is skipped and reported: its device starts anew, the partition continues (G8).
 */
import { DriftState, topics } from "@tributary/contracts";
import { DeviceDrift } from "@tributary/drift";
import { type InRecord, type PartitionReader, takeOrSkip } from "@tributary/kafka";
import type { Instant } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";

export type StoredDevice = { readonly drift: DeviceDrift; savedAt: Instant };

export type RebuildOptions = {
  readonly reader: PartitionReader;
  readonly number: number;
  readonly telemetry: Telemetry;
  readonly signal: AbortSignal;
};

export async function rebuild(options: RebuildOptions): Promise<Map<string, StoredDevice>> {
  const { reader, number, telemetry, signal } = options;
  const { name } = topics.driftState;
  const { next: until } = await reader.offsets(name, number); // R1
  // Of each device's records only the last is decoded.
  const newest = new Map<string, InRecord>();
  for await (const record of reader.read(name, number, { until, signal })) {
    if (record.key === null) continue;
    if (record.value === null) newest.delete(record.key);
    else newest.set(record.key, record);
  }
  signal.throwIfAborted();
  const devices = new Map<string, StoredDevice>();
  for (const [deviceId, record] of newest) {
    takeOrSkip(telemetry, record, () => devices.set(deviceId, deviceOf(deviceId, record.value as Buffer))); // R2
  }
  return devices;
}

function deviceOf(deviceId: string, value: Buffer): StoredDevice {
  const { state, savedAt } = DriftState.decodeConfluent(value);
  return { drift: DeviceDrift.decode(deviceId, state), savedAt };
}
