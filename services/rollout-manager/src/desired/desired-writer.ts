/**
 * Writes devices.desired.v1: the desired states that the controller reports as due, and nothing else.
 *
 * Writes are idempotent: the topic is read back, so instances and restarts write the same bytes or none; a stale record that
 * an instance behind the log wrote is overwritten by any instance that reads it. The generation is that of the newest
 * decision about any slot of the device (G6). A stored generation above the log's next one is reported: devices ignore desired
 * states until the epoch is raised. Never a tombstone: a device that has no desired state any more keeps its last one. A
 * write that Kafka did not take is repeated before anything newer.
 */
import { type DesiredModel, type DeviceDesired, POLICY, topics, type UpdateCondition } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type RecordSink } from "@tributary/kafka";
import { type Clock, type Instant, Oldest } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import {
  type LogEvent,
  maintenanceWindowOf,
  type RolloutController,
  type RolloutSpec,
  UNPINNED,
  type Wanted,
} from "@tributary/rollouts";
import type { Telemetry } from "@tributary/telemetry";
import { desiredAhead, desiredWritten } from "../events.ts";

export type UpdateSettings = { readonly shadowFrames: number; readonly probationFrames: number };

export type DesiredWriterOptions = {
  readonly controller: RolloutController;
  readonly models: ModelTable;
  readonly settings: UpdateSettings;
  readonly isRevoked: (deviceId: string) => boolean;
  /** Generation of the event that would be appended next. */
  readonly nextGeneration: () => bigint;
  readonly sink: RecordSink;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

type Decision = { readonly at: Instant; readonly kind: LogEvent["change"]["kind"] };

const CHUNK = 500;
const DECISIONS_MAX = 100_000;
/** An instance that is behind the log sees newer generations for a moment. */
const AHEAD_MS_MIN = 10_000;

const conditions: Readonly<Record<RolloutSpec["spec"]["when"], UpdateCondition>> = {
  any: "ANY",
  idle: "IDLE",
  parked: "PARKED",
};

export class DesiredWriter {
  readonly #options: DesiredWriterOptions;
  readonly #decisions = new Map<bigint, Decision>();
  readonly #oldest = new Oldest(this.#decisions);
  readonly #ahead = new Map<string, { readonly generation: bigint; readonly since: number; isNamed: boolean }>();
  #pending: readonly string[] = [];

  constructor(options: DesiredWriterOptions) {
    this.#options = options;
  }

  /** Devices whose records wait for Kafka. */
  get pending(): number {
    return this.#pending.length;
  }

  follow(context: FollowContext): Promise<Following> {
    const { controller, nextGeneration, clock } = this.#options;
    return follow(context, topics.desired, (desired, record) => {
      if (desired === null) return;
      const { deviceId, generation } = desired;
      for (const [slot, { modelDigest }] of Object.entries(desired.slots)) {
        controller.devices.written(deviceId, slot, { generation, modelDigest }, record.timestamp);
      }
      const pinned = desired.policyVersion ?? UNPINNED;
      controller.devices.written(deviceId, POLICY, { generation, modelDigest: pinned }, record.timestamp);
      const wanted = controller.devices.wanted(deviceId);
      // A newer one is of a decision that is not read here yet.
      const isKnown = wanted.size > 0 && generation <= newestOf(wanted).generation;
      for (const [slot, { modelDigest }] of isKnown ? wanted : []) {
        // Else the instance that wrote it did not know of this slot.
        const isNamed = slot === POLICY ? modelDigest === pinned : desired.slots[slot] !== undefined;
        if (!isNamed)
          controller.devices.written(deviceId, slot, { generation: -1n, modelDigest: "" }, record.timestamp);
      }
      if (generation < nextGeneration()) this.#ahead.delete(deviceId);
      else this.#ahead.set(deviceId, { generation, since: clock.monotonicMs(), isNamed: false });
    });
  }

  /** An event that counts: its generation may be one that devices are sent. */
  decided({ at, change }: LogEvent, generation: bigint): void {
    this.#decisions.set(generation, { at, kind: change.kind });
    this.#oldest.trim(DECISIONS_MAX);
  }

  /** Writes what is due now; rejects with what the sink throws. */
  async write(signal: AbortSignal): Promise<void> {
    const { controller, clock, isRevoked } = this.#options;
    this.#nameAhead();
    const due = controller.devices.desired(clock.now()).map(({ deviceId }) => deviceId);
    const waiting = [...new Set([...this.#pending, ...due])].filter((deviceId) => !isRevoked(deviceId));
    this.#pending = waiting;
    while (this.#pending.length > 0 && !signal.aborted) {
      const some = this.#pending.slice(0, CHUNK);
      await this.#send(some);
      this.#pending = this.#pending.slice(CHUNK);
    }
  }

  async #send(deviceIds: readonly string[]): Promise<void> {
    const { controller, sink, telemetry } = this.#options;
    const { name: topic, codec } = topics.desired;
    const written = new Map<bigint, { readonly newest: Wanted; count: number }>();
    const records = deviceIds.flatMap((deviceId) => {
      const wanted = controller.devices.wanted(deviceId);
      if (wanted.size === 0) return [];
      const newest = newestOf(wanted);
      const known = written.get(newest.generation);
      if (known === undefined) written.set(newest.generation, { newest, count: 1 });
      else known.count += 1;
      return [{ topic, key: deviceId, value: codec.encodeConfluent(this.#record(deviceId, wanted, newest)) }];
    });
    if (records.length === 0) return;
    await sink.send(records);
    for (const { newest, count } of written.values()) {
      const { uid, generation, why } = newest;
      telemetry.emit(desiredWritten, { uid, devices: count, generation: `${generation}`, why });
    }
  }

  #record(deviceId: string, wanted: ReadonlyMap<string, Wanted>, newest: Wanted): DeviceDesired {
    const slots = [...wanted.entries()].filter(([slot]) => slot !== POLICY).sort(([a], [b]) => (a < b ? -1 : 1));
    const policy = wanted.get(POLICY);
    return {
      deviceId,
      generation: newest.generation,
      slots: Object.fromEntries(slots.map(([slot, one]) => [slot, this.#desiredModel(one)])),
      policyVersion: policy === undefined || policy.modelDigest === UNPINNED ? null : policy.modelDigest,
      arm: policy?.arm ?? "default",
      rollout: newest.uid,
      why: newest.why.slice(0, 500),
      changedAt: this.#decisions.get(newest.generation)?.at ?? 0,
    };
  }

  #desiredModel({ modelDigest, uid }: Wanted): DesiredModel {
    const { controller, models, settings } = this.#options;
    const { name = "", version = "" } = models.byDigest(modelDigest) ?? {};
    const rollout = controller.rollout(uid);
    const isForward = rollout?.modelDigest === modelDigest;
    return {
      modelName: name,
      modelVersion: version,
      modelDigest,
      // A rollback is to a proven model: it skips shadow and probation.
      shadowFrames: isForward ? settings.shadowFrames : 0,
      probationFrames: isForward ? settings.probationFrames : 0,
      condition: isForward ? conditions[rollout.spec.spec.when] : "ANY",
      windows: isForward ? rollout.spec.spec.maintenanceWindows.map(maintenanceWindowOf) : [],
    };
  }

  #nameAhead(): void {
    const { clock, nextGeneration, telemetry } = this.#options;
    for (const [deviceId, one] of this.#ahead) {
      if (one.generation < nextGeneration()) this.#ahead.delete(deviceId);
      else if (!one.isNamed && clock.monotonicMs() - one.since > AHEAD_MS_MIN) {
        one.isNamed = true;
        const [generation, wanted] = [`${one.generation}`, `${nextGeneration()}`];
        telemetry.emit(desiredAhead, { device: deviceId, generation, wanted });
      }
    }
  }
}

const newestOf = (wanted: ReadonlyMap<string, Wanted>): Wanted =>
  [...wanted.values()].reduce((a, b) => (b.generation > a.generation ? b : a));
