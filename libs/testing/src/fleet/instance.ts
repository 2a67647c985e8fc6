/** The pure part of one instance of rollout-manager: it reads the tape, asks the real controller, and appends. It acts only on
 * events that it has read back. While an event of its own is in flight it proposes nothing. It may crash at any place and
 * restart from the tape alone. */

import {
  type ControllerSettings,
  type DesiredChange,
  eventOfRecord,
  type RolloutChange,
  RolloutController,
  recordOfEvent,
} from "@tributary/rollouts";
import { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import type { Tape, TapeRecord } from "./tape.ts";
import type { Digest, Window } from "./world.ts";

export const SLOT = "perception";
export const DIGESTS: Readonly<Record<Digest, string>> = { old: "0".repeat(64), new: "1".repeat(64) };
export const digestOf = (modelDigest: string): Digest => (modelDigest === DIGESTS.new ? "new" : "old");

/** Where a crash may happen: the places at which tests kill the service. */
export type Place = "before-append" | "after-append" | "after-read-back" | "while-writing-desired";
export type CrashAt = { readonly place: Place; readonly change: RolloutChange["kind"] | "any" };

export class Crash extends Error {}

export type InstanceOptions = {
  readonly name: string;
  readonly tape: Tape;
  /** Its wall clock less the true time. */
  readonly skewMs: number;
  /** How far behind the end of the tape it reads. */
  readonly lagMs: number;
  readonly settings: Partial<ControllerSettings>;
  /** Throws a Crash if this is the place and the change. */
  readonly at: (place: Place, change: RolloutChange["kind"] | "any") => void;
  readonly write: (change: DesiredChange, t: number) => void;
};

export class Instance {
  readonly controller: RolloutController;
  readonly fleet = new FleetMetrics();
  readonly #options: InstanceOptions;
  readonly #reports = new Map<string, { readonly bootId: bigint; readonly seq: bigint }>();
  #next = 0;
  /** Place on the tape of its own event that it has not read back. */
  #awaited: { readonly index: number; readonly change: RolloutChange["kind"] } | null = null;

  constructor(options: InstanceOptions) {
    this.#options = options;
    this.controller = new RolloutController(this.fleet, options.settings);
  }

  get next(): number {
    return this.#next;
  }

  /** One round: read, look, propose, write. */
  turn(t: number): void {
    const { skewMs, lagMs } = this.#options;
    this.#read(t - lagMs);
    const now = t + skewMs;
    this.controller.look(now);
    if (this.#awaited !== null) return;
    this.#propose(t, now);
    this.#write(t, now);
  }

  #read(upTo: number): void {
    const { tape, at } = this.#options;
    for (; this.#next < tape.end; this.#next++) {
      const record = tape.at(this.#next);
      if (record.t > upTo) return;
      this.controller.look(record.t);
      this.#fold(record);
      if (this.#awaited?.index !== this.#next) continue;
      const { change } = this.#awaited;
      this.#awaited = null;
      at("after-read-back", change);
    }
  }

  #propose(t: number, now: number): void {
    const { tape, at, name } = this.#options;
    const [proposal] = this.controller.propose(now);
    if (proposal === undefined) return;
    const { uid, version, change } = proposal;
    at("before-append", change.kind);
    const index = tape.appendEvent(t, recordOfEvent({ uid, version, at: now, by: name, change }));
    this.#awaited = { index, change: change.kind };
    at("after-append", change.kind);
  }

  #write(t: number, now: number): void {
    const { at, write } = this.#options;
    const changes = this.controller.devices.desired(now);
    for (const [i, change] of changes.entries()) {
      if (i === Math.floor(changes.length / 2)) at("while-writing-desired", "any");
      write(change, t);
    }
  }

  #fold(record: TapeRecord): void {
    switch (record.kind) {
      case "event":
        this.controller.applied(eventOfRecord(record.record), record.position);
        return;
      case "window":
        foldWindow(this.fleet, record.window, record.t);
        return;
      case "report": {
        const { deviceId, bootId, seq, generation, digest, update } = record.report;
        const last = this.#reports.get(deviceId);
        // Only the newest holds, as in rollout-manager: a late one is of an earlier state.
        if (last !== undefined && (bootId < last.bootId || (bootId === last.bootId && seq <= last.seq))) return;
        this.#reports.set(deviceId, { bootId, seq });
        this.controller.devices.reported(deviceId, SLOT, {
          generation,
          modelDigest: DIGESTS[digest],
          goldenPassed: null,
          at: record.t,
          update: update && {
            generation: update.generation,
            modelDigest: DIGESTS[update.digest],
            phase: update.phase,
            code: "",
            reason: "",
          },
        });
        return;
      }
      case "desired": {
        const { deviceId, generation, digest, t } = record;
        this.controller.devices.written(deviceId, SLOT, { generation, modelDigest: DIGESTS[digest] }, t);
        return;
      }
      default:
        record satisfies never;
    }
  }
}

/** The outcome of edge.metrics.v1, edge.predictions.v1 and ground-truth.v1. `t`: time of receipt. */
function foldWindow(fleet: FleetMetrics, window: Window, t: number): void {
  const { deviceId, bootId, seq, digest, frames, good, missed, crashes, closedAt, ageErrorMs } = window;
  if (!fleet.isNew(deviceId, "metrics", bootId, seq)) return;
  const seenAt = Math.min(t, closedAt + ageErrorMs); // A device cannot have seen what is to come.
  fleet.observe(deviceId, DIGESTS[digest], "accuracy", good, frames, seenAt);
  fleet.observe(deviceId, DIGESTS[digest], "deadline-met", frames - missed, frames, seenAt);
  if (crashes > 0) fleet.crashed(deviceId, seenAt);
}
