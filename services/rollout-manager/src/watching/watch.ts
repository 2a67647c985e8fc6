/** Folds the records of devices, router and labellers, moment by moment, and evaluates canaries.
 *
 * W1. Looks happen at multiples of `judge.lookEveryMs` of record time, each once everything up to its moment is folded. So
 *     every instance sees the same at the same looks, whenever it was started.
 * W2. A failed read is logged and repeated; no moment is skipped.
 *     Moments go by a clock that is never beyond Kafka's (clock-watch.ts W3): one that is past is not looked at again.
 * W3. Prometheus' answers for a rollout are one history from its creation on, also if it is retried.
 * W4. An instance that starts again continues from the newest checkpoint (checkpoints.ts): its looks see what those of one see that was
 *     never stopped. */

import { POLICY } from "@tributary/contracts";
import { codeOf, type PartitionReader } from "@tributary/kafka";
import { backoffMs, type Clock, type Instant, type Random, reasonOf } from "@tributary/kernel";
import type { ModelTable } from "@tributary/models";
import { isFinished, type Rollout, type RolloutController } from "@tributary/rollouts";
import type { FleetMetrics } from "@tributary/rollouts/fleet-metrics";
import { DEVICES_MIN } from "@tributary/rollouts/judge";
import type { Telemetry } from "@tributary/telemetry";
import type { Checkpoint, Checkpoints } from "../checkpoints/checkpoints.ts";
import type { RolloutManagerConfig } from "../config.ts";
import { checkpointRestored, foldFailed, looked, recordsLost } from "../events.ts";
import type { LabelJoinLimits } from "./label-join.ts";
import { type ByFrames, type LatencyLimits, MetricsFold } from "./metrics-fold.ts";

export type WatchOptions = {
  readonly controller: Pick<
    RolloutController,
    "rollouts" | "rollout" | "experiments" | "evidence" | "look" | "noted" | "evidenceState" | "restore"
  >;
  readonly checkpoints: Pick<Checkpoints, "newest" | "leftOut" | "looked" | "last">;
  readonly models: ModelTable;
  readonly metrics: FleetMetrics;
  readonly slices: PartitionReader;
  readonly judge: RolloutManagerConfig["judge"];
  /** A rollout does not wait for a device that has been silent for so long. */
  readonly goneMs: number;
  readonly limits: LabelJoinLimits;
  /** Before every look: the devices with frames since the one before. */
  readonly onFrames: (deviceIds: Iterable<string>) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
};

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Metrics of a device that was silent for so long are forgotten, or for as long as a rollout waits for it. */
const FORGET_MS_MIN = 7 * DAY;
/** Frames of the model before are nearly all below it, so that chance alone misses few. */
const LATENCY_HEADROOM = 1.5;
/** A look that is overdue by so long is a standstill, however often looks are. */
const STANDSTILL_MS_MIN = 60_000;
const NAMED_MAX = 20;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

export class Watch {
  readonly #options: WatchOptions;
  readonly #fold: MetricsFold;
  /** The active rollout of each device; null: to be found anew. */
  #rollouts: ReadonlyMap<string, Rollout> | null = null;
  #newest: Checkpoint | null | undefined;
  #lookedAt: Instant | null = null;
  /** When the fold last advanced; null: it has not started. */
  #advancedAtMs: number | null = null;

  constructor(options: WatchOptions) {
    const { controller, metrics, slices, judge, limits, telemetry } = options;
    this.#options = options;
    this.#fold = new MetricsFold({
      reader: slices,
      fleet: metrics,
      experiments: controller.experiments,
      telemetry,
      propensityMean: judge.propensityMean,
      limits,
      limitsOf: (deviceId, modelDigest) => this.#limitsOf(deviceId, modelDigest),
      createdAt: (uid, metric) => this.#createdAt(uid, metric),
      noted: (uid, metric, words) => controller.noted(uid, metric, words),
      onRecord: () => this.#advanced(),
    });
  }

  /** How far the fold is behind the present, in ms; infinite until something is folded. */
  get behindMs(): number {
    const { foldedTo } = this.#fold;
    return foldedTo === null ? Number.POSITIVE_INFINITY : Math.max(0, this.#options.clock.now() - foldedTo);
  }

  /** For how long no record and no moment more could be folded, in ms. */
  get stuckMs(): number {
    return this.#advancedAtMs === null ? 0 : this.#options.clock.monotonicMs() - this.#advancedAtMs;
  }

  /** For how long the next look has been due without a record more. */
  get overdueMs(): number {
    const { lookEveryMs, settleMs } = this.#options.judge;
    return Math.max(0, this.stuckMs - lookEveryMs - settleMs);
  }

  /** Null, or for how long canaries are not looked at though it is time, and why. */
  get standstill(): string | null {
    const { clock, judge } = this.#options;
    const { overdueMs } = this;
    if (overdueMs <= Math.max(STANDSTILL_MS_MIN, 2 * judge.lookEveryMs)) return null;
    const aheadMs = (this.#fold.foldedTo ?? 0) - clock.now();
    const why = aheadMs <= 0 ? "see rollout_fold_failed" : `it read ${seconds(aheadMs)} s beyond the clock; restart it`;
    return `looks at canaries are overdue by ${seconds(overdueMs)} s: ${why}`;
  }

  byFrames(deviceId: string): ByFrames | undefined {
    return this.#fold.byFrames(deviceId);
  }

  /** A rollout changed. */
  changed(): void {
    this.#rollouts = null;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, judge, checkpoints } = this.#options;
    const { lookEveryMs, settleMs } = judge;
    let first = Number.NaN;
    this.#advanced();
    await this.#untilDone(async () => {
      const restoredTo = await this.#restore();
      first = restoredTo === null ? await this.#start() : restoredTo + lookEveryMs;
    }, signal);
    for (let at = Math.floor(first / lookEveryMs) * lookEveryMs; !signal.aborted; at += lookEveryMs) {
      await this.#reached(at + settleMs, signal);
      await this.#untilDone(async () => {
        await this.#fold.foldTo(at, clock.now() - settleMs, signal);
        if (!signal.aborted) this.#look(at);
      }, signal);
    }
    await checkpoints.last(() => (this.#lookedAt === null ? null : this.#checkpoint(this.#lookedAt)));
  }

  /** From as far back as the devices' past reaches. Gives the first moment. */
  async #start(): Promise<Instant> {
    const first = this.#needsFrom();
    await this.#fold.start(first - this.#options.judge.preperiodHours * HOUR, this.#observedFrom());
    return first;
  }

  /** Start of the oldest comparison that runs, or now. */
  #needsFrom(): Instant {
    const { clock, controller, metrics } = this.#options;
    const experiments = controller.experiments.all.filter(({ phase }) => phase === "Running");
    const starts = [
      ...controller.rollouts.flatMap(({ uid }) => metrics.analysis(uid)?.plan.startedAt ?? []),
      ...experiments.map(({ createdAt }) => createdAt),
    ];
    return Math.min(clock.now(), ...starts);
  }

  /** W4. The moment of the look that it continues from; null: there is no checkpoint that is of use. */
  async #restore(): Promise<Instant | null> {
    const { checkpoints, controller, metrics, telemetry, judge } = this.#options;
    if (this.#newest === undefined) this.#newest = await checkpoints.newest();
    // One from before all that is compared and its past only makes the way longer.
    const oldest = this.#needsFrom() - judge.preperiodHours * HOUR;
    if (this.#newest === null || this.#newest.at < oldest) return null;
    const { at, evidence, fold } = this.#newest;
    const lost = await this.#fold.lostSince(fold);
    if (lost === null) {
      checkpoints.leftOut("topics", "a topic has fewer records than it counted: it was created anew");
      this.#newest = null;
      return null;
    }
    if (lost > 0n) telemetry.emit(recordsLost, { count: Number(lost), at });
    const { ended, missing } = controller.restore(evidence);
    this.#fold.restore(fold, at);
    const named = (uids: readonly string[]) => uids.slice(0, NAMED_MAX).join(", ");
    const { devices } = metrics;
    telemetry.emit(checkpointRestored, { at, devices, ended: named(ended), missing: named(missing) });
    this.#newest = null;
    this.#lookedAt = at;
    return at;
  }

  #checkpoint(at: Instant): Checkpoint {
    return { at, evidence: this.#options.controller.evidenceState(), fold: this.#fold.state() };
  }

  /** The clock may be set meanwhile: it is read repeatedly. */
  async #reached(moment: Instant, signal: AbortSignal): Promise<void> {
    const { clock, judge } = this.#options;
    const leftMs = () => moment - clock.now();
    while (leftMs() > 0 && !signal.aborted) {
      await clock.sleep(Math.min(leftMs(), judge.lookEveryMs), signal).catch(() => {});
    }
  }

  /** W2 */
  async #untilDone(work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, random, telemetry } = this.#options;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await work();
        return this.#advanced();
      } catch (error) {
        if (signal.aborted) return;
        telemetry.emit(foldFailed, { code: codeOf(error), reason: reasonOf(error) });
        await clock.sleep(backoffMs(BACKOFF, failures, random), signal).catch(() => {});
      }
    }
  }

  #advanced(): void {
    this.#advancedAtMs = this.#options.clock.monotonicMs();
  }

  #look(at: Instant): void {
    const { clock, controller, metrics, judge, goneMs, onFrames, telemetry } = this.#options;
    onFrames(this.#fold.takeTouched());
    const startedMs = clock.monotonicMs();
    controller.look(at);
    const ms = clock.monotonicMs() - startedMs;
    for (const { uid } of controller.rollouts) {
      const evidence = controller.evidence(uid);
      if (evidence === null || evidence.startedAtMs > at) continue;
      telemetry.emit(looked, { uid, sinceMs: evidence.sinceMs, why: evidence.why, ms });
    }
    metrics.keepCounters((uid) => controller.rollout(uid) !== null);
    // At each day's first look, so that every instance forgets at the same one (W1).
    if (Math.floor(at / DAY) > Math.floor((at - judge.lookEveryMs) / DAY))
      metrics.prune(at - Math.max(FORGET_MS_MIN, goneMs));
    this.#lookedAt = at;
    this.#options.checkpoints.looked(at, () => this.#checkpoint(at));
  }

  // Limits that rollouts set for the fold.

  /** A rollout's devices are compared with one figure, whichever model they run: their own as it was before, or
   * the budget of the model before where that is less, or where nothing was known of them. */
  #limitsOf(deviceId: string, modelDigest: string): LatencyLimits | undefined {
    const { controller, models } = this.#options;
    this.#rollouts ??= new Map(
      controller.rollouts
        .filter((rollout) => !isFinished(rollout))
        .flatMap((rollout) => rollout.cohorts.order.map((id) => [id, rollout] as const)),
    );
    const rollout = this.#rollouts.get(deviceId);
    const before = rollout === undefined || rollout.spec.spec.slot === POLICY ? modelDigest : rollout.stableDigest;
    const budgetMs = models.byDigest(before)?.latencyBudgetMs;
    const known = [rollout?.latencyMsMax, budgetMs].flatMap((ms) => ms ?? []);
    const deadlineMs = rollout?.spec.spec.latencySlaMs ?? Math.min(...known);
    if (deadlineMs === Number.POSITIVE_INFINITY) return undefined;
    return { deadlineMs, latencyMs: known.length === 0 ? deadlineMs : Math.min(...known) };
  }

  /** How long these devices take with a model, and half as much again; null: not enough is known. */
  latencyMsMax(deviceIds: readonly string[], modelDigest: string): number | null {
    const limit = this.#fold.latencies.limitOf(deviceIds, modelDigest, DEVICES_MIN);
    return limit === null ? null : Number((LATENCY_HEADROOM * limit).toPrecision(3));
  }

  /** W3 */
  #observedFrom(): Instant {
    const provided = this.#options.controller.rollouts.filter(
      ({ phase, spec }) => phase !== "Healthy" && spec.spec.metrics.some(({ provider }) => provider !== undefined),
    );
    return Math.min(Number.POSITIVE_INFINITY, ...provided.map(({ createdAt }) => createdAt));
  }

  /** W3 */
  #createdAt(uid: string, metric: string): Instant | undefined {
    const rollout = this.#options.controller.rollout(uid);
    const isProvided = rollout?.spec.spec.metrics.some(
      ({ name, provider }) => name === metric && provider !== undefined,
    );
    return isProvided === true ? rollout?.createdAt : undefined;
  }
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(0);
