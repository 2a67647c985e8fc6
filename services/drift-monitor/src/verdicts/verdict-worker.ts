/**
 * Decides the verdicts of the whole fleet, for the owner of partition 0.
 *
 * Device states, registrations and reports are followed into one view of the fleet; each look compares it with the verdicts of
 * before and with what people answered to them, and writes those that changed.
 *
 * V1. (G12) Verdicts are claimed before they are read, and written by that claim alone; any error while writing ends it, and
 *     everything is read again.
 * V2. A look is a pure function of what Kafka holds and of the time; so another owner continues where this one stopped.
 * V3. After a takeover it does not look before the sketches that piled up are folded: cameras would seem silent, and open
 *     verdicts would close.
 */
import { createHash } from "node:crypto";
import { DriftState, type DriftVerdict, topics } from "@tributary/contracts";
import {
  DeviceDrift,
  type DeviceFindings,
  type DriftReference,
  type DriftReviews,
  decideReviewedVerdicts,
  FleetView,
  openByCause,
  type VerdictSettings,
} from "@tributary/drift";
import {
  cloudEventHeaders,
  follow,
  followAll,
  type OutRecord,
  type PartitionFence,
  type PartitionReader,
  readTopic,
  takeOrSkip,
} from "@tributary/kafka";
import type { Clock, Instant, Random } from "@tributary/kernel";
import { OwnedPartition } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { goldenReported, looked, verdictChanged, verdictsGivenUp, verdictsTakenOver } from "../events.ts";

export type VerdictWorkerOptions = {
  readonly fence: PartitionFence;
  /** Of tables that are followed. */
  readonly reader: PartitionReader;
  readonly reviews: DriftReviews;
  readonly referenceOf: (modelDigest: string) => DriftReference | undefined;
  /** Sketches of the whole fleet that are not folded yet. */
  readonly lag: () => Promise<bigint>;
  readonly settings: VerdictSettings;
  readonly closedMsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

type Cameras = { readonly compared: number; readonly alarmed: number };

type Memory = {
  readonly view: FleetView;
  /** By id. */
  readonly verdicts: Map<string, DriftVerdict>;
  readonly cameras: Map<string, Cameras>;
  readonly stop: AbortController;
  readonly sinceMs: number;
  hasLooked: boolean;
};

const SOURCE = "/tributary/drift-monitor";
/** V3. A fleet sends always; so few are folded at once. */
const LAG_MAX = 1_000n;
const LAG_WAIT_MS_MAX = 10 * 60_000;

export class VerdictWorker extends OwnedPartition<Memory> {
  readonly #options: VerdictWorkerOptions;

  constructor(options: VerdictWorkerOptions) {
    const { telemetry } = options;
    super({
      ...options,
      number: 0,
      rebuild: (signal) => read(options, signal),
      onRebuilt: ({ cameras, verdicts }, ms) =>
        telemetry.emit(verdictsTakenOver, { devices: cameras.size, verdicts: verdicts.size, ms }),
      onForgotten: ({ code, reason, memory }) => {
        memory.stop.abort();
        telemetry.emit(verdictsGivenUp, { code, reason });
      },
    });
    this.#options = options;
  }

  get open(): ReturnType<typeof openByCause> {
    return openByCause(this.memory?.verdicts.values() ?? [], this.#options.clock.now());
  }

  get cameras(): Cameras {
    const sum = { compared: 0, alarmed: 0 };
    for (const { compared, alarmed } of this.memory?.cameras.values() ?? []) {
      sum.compared += compared;
      sum.alarmed += alarmed;
    }
    return sum;
  }

  override async revoke(): Promise<Memory | undefined> {
    const memory = await super.revoke();
    memory?.stop.abort();
    return memory;
  }

  look(): Promise<void> {
    return this.whenIdle(async (memory) => {
      const { clock, telemetry, settings, closedMsMax, referenceOf, reviews } = this.#options;
      if (!memory.hasLooked && (await this.#isBehind(memory))) return; // V3
      const { view, verdicts } = memory;
      for (const digest of view.wanted) {
        const reference = referenceOf(digest);
        if (reference !== undefined) view.package(digest, reference);
      }
      const startedAtMs = clock.monotonicMs();
      const now = clock.now();
      const changed = decideReviewedVerdicts(view, verdicts, reviews, now, settings, sha256Hex);
      telemetry.emit(looked, { changed: changed.length, ms: clock.monotonicMs() - startedAtMs });
      const gone = [...verdicts.values()].filter(({ closedAt }) => closedAt !== null && closedAt < now - closedMsMax);
      await this.send(memory, () => [
        ...changed.map((verdict) => recordOf(verdict, now)),
        ...gone.map(({ verdictId: key }) => ({ topic: topics.driftVerdicts.name, key, value: null })),
      ]);
      for (const { verdictId } of gone) verdicts.delete(verdictId);
      for (const verdict of changed) {
        verdicts.set(verdict.verdictId, verdict);
        const { verdictId, version, state, cause, summary } = verdict;
        telemetry.emit(verdictChanged, { verdictId, version: `${version}`, state, cause, summary });
      }
      memory.hasLooked = true;
    });
  }

  /** V3. At most for `LAG_WAIT_MS_MAX`. */
  async #isBehind({ sinceMs }: Memory): Promise<boolean> {
    if (this.#options.clock.monotonicMs() - sinceMs > LAG_WAIT_MS_MAX) return false;
    return (await this.#options.lag()) > LAG_MAX;
  }
}

/** V1. Everything that verdicts are made of; it is followed until `stop` aborts. */
async function read(options: VerdictWorkerOptions, revoked: AbortSignal): Promise<Memory> {
  const { reader, clock, random, telemetry } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([revoked, stop.signal]);
  const memory: Memory = {
    view: new FleetView(options.reviews),
    verdicts: new Map(),
    cameras: new Map(),
    stop,
    sinceMs: clock.monotonicMs(),
    hasLooked: false,
  };
  const { view, verdicts, cameras } = memory;
  try {
    for await (const record of readTopic(reader, topics.driftVerdicts.name, signal)) {
      const { key, value } = record;
      if (key === null) continue;
      if (value === null) verdicts.delete(key);
      else takeOrSkip(telemetry, record, () => verdicts.set(key, topics.driftVerdicts.codec.decodeConfluent(value)));
    }
    let isPast = true;
    const context = { reader, clock, random, telemetry, signal };
    const tables = await followAll([
      follow(context, topics.driftState, (state, { key }) => {
        const findings = state === null ? null : findingsOf(key ?? "", state);
        view.found(key ?? "", findings);
        if (findings === null) cameras.delete(key ?? "");
        else cameras.set(findings.deviceId, camerasOf(findings));
      }),
      follow(context, topics.registry, (registration, { key }) => view.registered(key ?? "", registration)),
      follow(context, topics.reported, (reported, { key, timestamp }) => {
        const outcome = view.reported(key ?? "", reported, timestamp);
        if (!isPast) telemetry.emit(goldenReported, { deviceId: key ?? "", outcome });
      }),
    ]);
    await tables.caughtUp;
    isPast = false;
    signal.throwIfAborted();
    return memory;
  } catch (error) {
    stop.abort();
    throw error;
  }
}

const findingsOf = (deviceId: string, { state }: DriftState): DeviceFindings =>
  DeviceDrift.decode(deviceId, state).findings();

const camerasOf = ({ cameras }: DeviceFindings): Cameras => ({
  compared: cameras.filter(({ isCompared }) => isCompared).length,
  alarmed: cameras.filter(({ drift }) => drift !== null).length,
});

function recordOf(verdict: DriftVerdict, now: Instant): OutRecord {
  const { verdictId, version } = verdict;
  return {
    topic: topics.driftVerdicts.name,
    key: verdictId,
    value: topics.driftVerdicts.codec.encodeConfluent(verdict),
    headers: cloudEventHeaders({
      id: `${verdictId}:${version}`,
      source: SOURCE,
      type: "tributary.v1.DriftVerdict",
      time: now,
    }),
    timestamp: now,
  };
}

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
