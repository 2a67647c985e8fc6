/** `/v1/status`, the health of the agent, and its gauges. */
import { levels } from "@tributary/driving";
import type { Telemetry } from "@tributary/telemetry";
import type { Capture } from "./capture.ts";
import type { Driver } from "./driving/driver.ts";
import type { GoldenCheck } from "./golden-check.ts";
import type { Captured } from "./outbox/age.ts";
import type { OutboxKeeper } from "./outbox/keeper.ts";
import { AGENT_VERSION } from "./reports.ts";
import type { Slot, Slots } from "./slots.ts";
import type { Tally } from "./tally.ts";
import type { Updater } from "./updates/updater.ts";
import type { Uplink } from "./uplink.ts";
import type { ContextState } from "./world/context.ts";
import type { World } from "./world/world.ts";

export type StatusParts = {
  readonly deviceId: string;
  readonly now: () => Captured;
  readonly slots: Slots;
  /** Null: no camera has a deadline. */
  readonly driving: Driver | null;
  readonly lite: Slot | null;
  /** Null: none is configured. */
  readonly world: WorldParts | null;
  readonly updater: Pick<Updater<unknown>, "durable" | "generation" | "conditions" | "now">;
  readonly outbox: OutboxKeeper;
  readonly uplink: Uplink;
  readonly capture: Capture;
  readonly golden: GoldenCheck;
  readonly tally: Tally;
};

export const statusOf = (parts: StatusParts) => {
  const { slots, updater, outbox, tally, capture, golden } = parts;
  const { cameras, queues, skipped } = capture;
  const { pkg, policy, runner, goldenPassed } = slots.active;
  const { good, previous, trial } = updater.durable;
  return {
    deviceId: parts.deviceId,
    bootId: outbox.bootId,
    agentVersion: AGENT_VERSION,
    clockState: parts.now().wallMs === null ? "UNSYNCHRONIZED" : "SYNCHRONIZED",
    online: parts.uplink.online,
    model: {
      name: pkg.manifest.name,
      version: pkg.manifest.version,
      digest: pkg.digest,
      running: runner.current !== undefined,
      pid: runner.current?.pid ?? null,
      losses: tally.modelLosses,
      goldenPassed,
      /** The last check on the path of camera frames; null: none of this model so far. */
      golden: golden.last && { at: golden.last.at, frames: golden.last.frames, failed: golden.last.failed },
    },
    driving: parts.driving && {
      level: parts.driving.level,
      reason: parts.driving.reason,
      levelMs: parts.driving.levelMs,
      isDegraded: parts.driving.isDegraded,
      /** Frames by what answered them. */
      frames: tally.levels,
      changes: tally.levelChanges,
      /** This process's own lateness, and whether the safety case holds at this load. */
      load: parts.driving.load,
      lite: parts.lite && {
        name: parts.lite.pkg.manifest.name,
        version: parts.lite.pkg.manifest.version,
        digest: parts.lite.pkg.digest,
        pid: parts.lite.runner.current?.pid ?? null,
        /** Of the warm process that would take over; null: there is none at present. */
        sparePid: parts.lite.runner.spare?.pid ?? null,
      },
    },
    world: parts.world && worldOf(parts.world),
    generation: Number(updater.generation),
    /** How far the last desired state is; null: there was none. */
    update: updateOf(updater),
    /** Digests; null: the package of the configuration. */
    slots: { good: good?.digest ?? null, previous: previous?.digest ?? null, trial: trial?.digest ?? null },
    conditions: updater.conditions,
    policy: { version: policy.policy.policyVersion, from: policy.origin },
    cameras: cameras.map(({ id, kind, state }, i) => ({
      id,
      kind,
      state,
      arrived: queues[i]?.arrived ?? 0,
      skipped: queues[i]?.skipped ?? 0,
      waiting: queues[i]?.waiting ?? 0,
    })),
    frames: tally.frames,
    kept: tally.kept,
    /** By reason: sent, or waiting to be. */
    sent: tally.sent,
    /** By reason, of the frames that were to be sent. */
    dropped: tally.dropped,
    unreadable: tally.unreadable,
    unrecorded: tally.unrecorded,
    skipped,
    outbox: { ...outbox.stats, uncommitted: outbox.uncommitted, broken: outbox.broken ?? null },
    uplink: { records: tally.sentRecords, bytes: tally.sentBytes },
    finalAnswers: tally.finals,
    latencyMs: tally.latencyMs(),
  };
};

export type WorldParts = {
  readonly world: World;
  readonly context: () => ContextState;
  readonly updater: Pick<Updater<unknown>, "now">;
};

function worldOf({ world, context, updater }: WorldParts) {
  const state = context();
  const { active } = world;
  return {
    model: { name: active.manifest.name, version: active.manifest.version, digest: active.digest },
    weight: world.weight,
    truths: world.truths,
    /** Why perception answers without it; null: it does not. */
    unusable: state.context === null ? { code: state.code, reason: state.reason } : world.unusable,
    context: state.context === null ? { code: state.code, reason: state.reason } : state.context,
    update: updateOf(updater),
  };
}

function updateOf({ now }: Pick<StatusParts["updater"], "now">) {
  return now && { ...now, generation: Number(now.generation) };
}

/** Without an outbox the agent still answers, and opens it again by itself (keeper.ts K1): a person has to act, but a restart
 * does not help. */
export const notReady = ({ slots, outbox }: StatusParts): readonly string[] => [
  ...(slots.active.runner.current === undefined ? ["model: it is being loaded again"] : []),
  ...(outbox.broken === undefined ? [] : [`outbox: ${outbox.broken}`]),
  ...(outbox.stats.stalled ? [`outbox: the disk is full; ${outbox.uncommitted} items wait in memory`] : []),
];

export function exportGauges(telemetry: Telemetry, parts: StatusParts): void {
  const { outbox, uplink, slots, updater, golden, driving, lite } = parts;
  const gauge = (name: string, help: string, read: () => number) =>
    telemetry.gauge({ name: `tributary_agent_${name}`, help }, read);
  gauge("outbox_bytes", "Bytes the outbox holds", () => outbox.stats.bytes);
  gauge("outbox_frames", "Frames that wait with their image", () => outbox.stats.frames);
  gauge("outbox_predictions", "Predictions that wait", () => outbox.stats.predictions);
  gauge("outbox_unacked_records", "Records sent and not acknowledged", () => outbox.stats.unacked);
  gauge("outbox_uncommitted_items", "Items not yet on disk", () => outbox.uncommitted);
  gauge("outbox_open", "1 while there is an outbox", () => (outbox.broken === undefined ? 1 : 0));
  gauge("outbox_stalled", "1 while the disk takes nothing in", () => (outbox.stats.stalled ? 1 : 0));
  gauge("online", "1 while connected", () => (uplink.online ? 1 : 0));
  gauge("model_running", "1 while the model's process runs", () => (slots.active.runner.current === undefined ? 0 : 1));
  gauge("model_on_trial", "1 while the active model is in probation", () => (slots.isOnTrial ? 1 : 0));
  gauge("golden_frames_failed", "Golden frames of the active model that its last check did not reproduce", () => {
    return golden.last?.failed ?? 0;
  });
  // Without a camera with a deadline too: a metric that is missing is no alert.
  gauge("driving_level", "Level of cameras with a deadline: 0 FULL, or none has one, 1 LITE, 2 STALE, 3 SAFE", () =>
    driving === null ? 0 : levels.indexOf(driving.level),
  );
  gauge("driving_degraded", "1 while the hardware counts as degraded", () => (driving?.isDegraded === true ? 1 : 0));
  gauge(
    "lateness_p99_seconds",
    "How late this process was, 99th percentile of the last minute; 0: no camera has a deadline",
    () => (driving === null ? 0 : driving.load.p99Ms / 1_000),
  );
  gauge(
    "lateness_longest_seconds",
    "How late this process was at most in the last minute; 0: no camera has a deadline",
    () => (driving === null ? 0 : driving.load.longestMs / 1_000),
  );
  gauge("load_within", "1 while SAFE can be signalled within the deadline at the machine's load", () =>
    driving === null || driving.load.isWithin ? 1 : 0,
  );
  gauge("lite_spare", "1 while a warm second process of LITE stands by", () =>
    lite?.runner.spare === undefined ? 0 : 1,
  );
  gauge("desired_generation", "Generation of the desired state it follows", () => Number(updater.generation));
}
