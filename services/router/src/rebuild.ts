/**
 * Rebuilds one partition's memory from Kafka alone: the states stored for its devices, then the answers written since.
 *
 * R1. Both logs are read to their ends once the partition is claimed: its former owner cannot append to them any more
 *     (owned-partition.ts O2).
 * R2. A record that cannot be read is skipped and reported: its device may get repeated answers, the partition continues (G8).
 */
import { Classifications, topics } from "@tributary/contracts";
import { type PartitionReader, takeOrSkip } from "@tributary/kafka";
import type { SettlementPartition } from "@tributary/routing/settlement";
import type { Telemetry } from "@tributary/telemetry";
import { StateLog, type StoredDevice } from "./state-log.ts";

export type Rebuilt = {
  readonly partition: SettlementPartition;
  /** What the log holds, by device. */
  readonly stored: Map<string, StoredDevice>;
  /** Offset that the next answer will get. */
  readonly known: bigint;
  readonly replayFrom: bigint;
  /** Devices whose replayed answers are in no stored state yet. */
  readonly unsaved: ReadonlySet<string>;
  readonly answers: number;
};

export type RebuildOptions = {
  readonly reader: PartitionReader;
  readonly number: number;
  readonly empty: () => SettlementPartition;
  readonly telemetry: Telemetry;
  readonly signal: AbortSignal;
};

export async function rebuild({ reader, number, empty, telemetry, signal }: RebuildOptions): Promise<Rebuilt> {
  const states = new StateLog();
  const stored = await reader.offsets(topics.routerState.name, number);
  const upTo = (next: bigint) => ({ until: next, signal });
  for await (const record of reader.read(topics.routerState.name, number, upTo(stored.next))) {
    takeOrSkip(telemetry, record, () => states.apply(record)); // R2
  }

  const partition = empty();
  for (const [deviceId, device] of states.devices) {
    partition.restore(device.snapshot(), states.savedAt.get(deviceId) ?? 0);
  }

  const written = await reader.offsets(topics.classifications.name, number); // R1
  let from = states.replayFrom;
  if (from < written.earliest) from = written.earliest; // retention deleted the records before
  const unsaved = new Set<string>();
  let answers = 0;
  if (from < written.next) {
    const range = { from, ...upTo(written.next) };
    for await (const record of reader.read(topics.classifications.name, number, range)) {
      const { key, value } = record;
      if (key === null || value === null || record.offset < (states.known.get(key) ?? 0n)) continue;
      takeOrSkip(telemetry, record, () => {
        const known = Classifications.decodeConfluent(value);
        partition.replay(known, record.timestamp);
        answers += known.answers.length;
        unsaved.add(known.deviceId);
      });
    }
  }
  signal.throwIfAborted();
  return { partition, stored: states.devices, known: written.next, replayFrom: from, unsaved, answers };
}
