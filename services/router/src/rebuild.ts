/**
 * Rebuilds one partition's memory from Kafka alone: the states stored for its devices, then the answers written since.
 *
 * R1. Answers are read to the log's end as it is when the partition is ours: whoever had it before wrote behind that only
 *     in the window of a lost lease (partition-worker.ts, W4).
 * R2. A record that cannot be read is left out, loudly: its device may get repeated answers, the partition goes on (G8).
 */
import { Classifications, RouterState, topics } from "@tributary/contracts";
import type { InRecord, PartitionReader } from "@tributary/kafka";
import { type Instant, reasonOf } from "@tributary/kernel";
import type { DeviceSnapshot, SettlementPartition } from "@tributary/settlement";
import type { Telemetry } from "@tributary/telemetry";
import { stateUnreadable } from "./events.ts";
import { snapshotOf } from "./records.ts";

export type Rebuilt = {
  readonly partition: SettlementPartition;
  /** Offset the next answer will get, if nobody else writes. */
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
  const unreadable = (record: InRecord, error: unknown) =>
    telemetry.emit(stateUnreadable, { partition: number, key: record.key ?? "", reason: reasonOf(error) });

  const states = new Map<string, { readonly state: RouterState; readonly snapshot: DeviceSnapshot }>();
  const stored = await reader.offsets(topics.routerState.name, number);
  const upTo = (next: bigint) => ({ until: next, signal });
  for await (const record of reader.read(topics.routerState.name, number, upTo(stored.next))) {
    if (record.key === null) continue;
    states.delete(record.key);
    if (record.value === null) continue;
    try {
      const state = RouterState.decodeConfluent(record.value);
      states.set(record.key, { state, snapshot: snapshotOf(state) });
    } catch (error) {
      unreadable(record, error); // R2
    }
  }

  const partition = empty();
  let replayFrom = 0n;
  for (const { state, snapshot } of states.values()) {
    partition.restore(snapshot, state.savedAt as Instant);
    if (state.replayFrom > replayFrom) replayFrom = state.replayFrom;
  }

  const written = await reader.offsets(topics.classifications.name, number); // R1
  const from = replayFrom > written.earliest ? replayFrom : written.earliest;
  const unsaved = new Set<string>();
  let answers = 0;
  if (from < written.next) {
    const range = { from, ...upTo(written.next) };
    for await (const record of reader.read(topics.classifications.name, number, range)) {
      if (record.key === null || record.value === null) continue;
      if (record.offset < (states.get(record.key)?.state.classificationsOffset ?? 0n)) continue;
      try {
        const known = Classifications.decodeConfluent(record.value);
        partition.replay(known, record.timestamp);
        answers += known.answers.length;
        unsaved.add(known.deviceId);
      } catch (error) {
        unreadable(record, error); // R2
      }
    }
  }
  signal.throwIfAborted();
  return { partition, known: written.next, replayFrom: from, unsaved, answers };
}
