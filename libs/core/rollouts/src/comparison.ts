/** One canary compared with its control: the verdict, look by look, and the evidence that people read.
 *
 * It holds a watch of each metric over a FleetAnalysis; `look` judges what is counted by now. Successful needs (G5): every
 * metric with a margin shows that harm is below it, crashes were given time to show, and the canary is heard as often as the
 * control, on the model that is judged. Fewer than `DEVICES_MIN` devices with frames in an arm are no data. The mixture's scale
 * is fixed before the first look, from the past and from the number of frames, never from their outcome. The cross-check by
 * re-randomisation has its own looks, at moments fixed beforehand, and ends no analysis. If it shows harm, harm of an undecided
 * analysis is likely (decide.ts D6). So it is if an estimate exceeds its margin and one look, the one at the end, finds it
 * beyond chance at level alpha: beyond the margin alone it would be in one of a few equal models where devices are few.
 *
 * J1. It starts when the canary's devices have the model, and goes on through pauses, analyses and the next widening, until
 *     that reaches the control: harm rolls the model back whenever it shows (decide.ts D2).
 * J2. A rollout that compares `k` times gives each a k-th of every alpha: the whole keeps its specification's alpha (G11). Of
 *     each part a tenth is for the first devices that run the model, while others still install it, and a tenth for those that
 *     run it when the rollout pauses meanwhile. These start once `DEVICES_MIN` run it, count these devices alone, and may
 *     show harm; they widen nothing.
 * J6. Counters of an external monitoring system do not show which devices are heard, so a metric from there needs increases as
 *     new as frames must be: what it showed before it went silent does not widen anything (G5).
 * J7. A problem of a metric's source (a note) stands in the evidence and decides nothing. */

import { type Instant, reasonOf } from "@tributary/kernel";
import { startCrossCheck } from "./cross-check.ts";
import type { Verdict } from "./events.ts";
import {
  type AnalysisEvidence,
  type AnalysisLook,
  type Counted,
  crossCheckOf,
  lookOf,
  segmentEvidenceOf,
  thinned,
} from "./evidence.ts";
import type { FleetAnalysis, Heard } from "./fleet-metrics/analysis.ts";
import { effectiveSampleSizes } from "./judge/comparison.ts";
import { logCrashEvidence } from "./judge/crashes.ts";
import { pOfOneLook } from "./judge/evidence.ts";
import { type Counts } from "./judge/harm-process.ts";
import { type MetricLook, MetricWatch, type MetricWatchState, metricDefaults } from "./judge/metric-watch.ts";
import { DEVICES_MIN, LABELS_MIN, plannedVariance } from "./judge/plan.ts";
import { type CrossCheck, type CrossCheckState, type Strata } from "./judge/rerandomisation.ts";
import { type Segment, SegmentCounts, type Segments } from "./segments.ts";
import type { MetricSpec, RolloutSpec } from "./spec.ts";
import { crossCheckWords, crossedWords, harmWords, marginWords, unsureWords } from "./words.ts";

export type ComparisonSettings = {
  /** A device without a frame for so long is silent. */
  readonly silenceMs: number;
  /** Share of the canary, beside the control's, that must be heard. */
  readonly heardShareMin: number;
  /** From the start of the comparison, so much of an analysis' duration must pass before it can succeed: crashes take time. */
  readonly exposureShare: number;
  /** When evidence should grow fastest, after the start: what the mixture's scale is planned for. */
  readonly plannedMs: number;
};

export const comparisonDefaults: ComparisonSettings = {
  silenceMs: 600_000,
  heardShareMin: 0.9,
  exposureShare: 1 / 6,
  plannedMs: 30 * 60_000,
};

const SILENT_NAMED_MAX = 20;
/** What is assumed where nothing is known: of the rate, and of what the past leaves unexplained between devices. */
const unknown = { rate: 0.9, deviceSd: 0.03 } as const;
/** A rate of 1 in the past is no promise of a variance of 0. */
const RATE_MAX = 0.99;

export type ComparisonPlace = {
  /** Index of the step of the comparison. */
  readonly step: number;
  readonly share: number;
  readonly strata: Strata | null;
  readonly segments: Segments | null;
};

export type Reporting = { readonly onModel: number; readonly goldenFailed: number };

type Watched = {
  readonly spec: MetricSpec;
  /** In words: why there is none. */
  readonly crossCheck: CrossCheck | string;
  readonly segments: SegmentCounts;
  watch: MetricWatch | null;
  plannedVariance: number | null;
  isHarmful: boolean;
  /** Of the last look, where there was enough for one. */
  look: MetricLook | null;
  counted: Arms | null;
  /** Of a metric of the random sample: labels of each arm as they are weighed. */
  sampleSizes: ReturnType<typeof effectiveSampleSizes>;
  /** Null: there was too little to compare at the last look. */
  isSafe: boolean | null;
};

/** What a restarted instance needs. Of the analysis' counts, see FleetMetricsState. */
export type ComparisonState = {
  readonly looks: readonly AnalysisLook[];
  readonly lookedAt: Instant | null;
  readonly crashes: AnalysisEvidence["crashes"];
  readonly verdict: Verdict | null;
  readonly isSilent: boolean;
  readonly why: string;
  /** By metric. */
  readonly watched: ReadonlyMap<string, WatchedState>;
};
type WatchedState = Pick<Watched, "plannedVariance" | "isHarmful" | "look" | "counted" | "sampleSizes" | "isSafe"> & {
  readonly watch: MetricWatchState | null;
  readonly crossCheck: CrossCheckState | null;
};

export class Comparison {
  readonly analysis: FleetAnalysis;
  readonly #spec: RolloutSpec["spec"];
  readonly #settings: ComparisonSettings;
  readonly #exposureMs: number;
  /** When the analysis that follows would end, were nobody to pause it longer than its steps do; ms since the start. Null: none follows. */
  readonly #endMs: number | null;
  /** J2: that part of every alpha is this comparison's. */
  readonly #share: number;
  readonly #watched: readonly Watched[];
  #looks: AnalysisLook[] = [];
  #lookedAt: Instant | null = null;
  #crashes: AnalysisEvidence["crashes"] = null;
  #verdict: Verdict | null = null;
  #isSilent = false;
  readonly #notes: ReadonlyMap<string, string>;
  #why = "it has just started";

  /** `share`: of what one comparison may spend (J2). `strata`: of the arms' devices; null: not known. `notes`: by metric, a
   * problem of its source (J7). */
  constructor(
    analysis: FleetAnalysis,
    spec: RolloutSpec,
    { step, share, strata, segments }: ComparisonPlace,
    settings: ComparisonSettings,
    notes: ReadonlyMap<string, string>,
  ) {
    this.#notes = notes;
    this.analysis = analysis;
    this.#spec = spec.spec;
    this.#settings = settings;
    this.#share = share / comparisonsOf(spec);
    const following = spec.spec.strategy.canary.steps.slice(step);
    const next = following.find((one) => "analysis" in one);
    const duration = next === undefined ? 0 : next.analysis.duration;
    const pauses = following.slice(0, next === undefined ? 0 : following.indexOf(next));
    const pausedMs = pauses.reduce((sum, one) => sum + ("pause" in one ? (one.pause.duration ?? 0) : 0), 0);
    this.#endMs = next === undefined ? null : pausedMs + duration;
    this.#exposureMs = Math.max(spec.spec.burnIn, settings.exposureShare * duration);
    const { uid } = analysis.plan;
    const plan = { uid, step, strata, burnInMs: spec.spec.burnIn, analysisMs: duration };
    this.#watched = spec.spec.metrics.map((metric) => {
      const own = { ...metric, alpha: metric.alpha * this.#share };
      return {
        spec: own,
        crossCheck: startCrossCheck(plan, own),
        segments: new SegmentCounts(metric.name, analysis, segments),
        watch: null,
        plannedVariance: null,
        isHarmful: false,
        look: null,
        counted: null,
        sampleSizes: null,
        isSafe: null,
      };
    });
  }

  state(): ComparisonState {
    const watched = this.#watched.map((one) => {
      const { spec, plannedVariance, isHarmful, look, counted, sampleSizes, isSafe } = one;
      const crossCheck = typeof one.crossCheck === "string" ? null : one.crossCheck.state();
      const watch = one.watch?.state() ?? null;
      const state = { plannedVariance, isHarmful, look, counted, sampleSizes, isSafe, watch, crossCheck };
      return [spec.name, state] as const;
    });
    return {
      looks: this.#looks,
      lookedAt: this.#lookedAt,
      crashes: this.#crashes,
      verdict: this.#verdict,
      isSilent: this.#isSilent,
      why: this.#why,
      watched: new Map(watched),
    };
  }

  restore({ looks, lookedAt, crashes, verdict, isSilent, why, watched }: ComparisonState): void {
    this.#looks = [...looks];
    this.#lookedAt = lookedAt;
    this.#crashes = crashes;
    this.#verdict = verdict;
    this.#isSilent = isSilent;
    this.#why = why;
    for (const one of this.#watched) {
      const state = watched.get(one.spec.name);
      if (state === undefined) continue;
      const { watch, crossCheck, ...rest } = state;
      Object.assign(one, rest);
      if (watch !== null && rest.plannedVariance !== null) {
        one.watch = this.#watchWith(one, rest.plannedVariance);
        one.watch.restore(watch);
      }
      if (crossCheck !== null && typeof one.crossCheck !== "string") one.crossCheck.restore(crossCheck);
    }
  }

  get verdict(): Verdict | null {
    return this.#verdict;
  }

  /** Why harm is likely though nothing is decided, in words; null: it is not. */
  get suspicion(): string | null {
    return this.#verdict === null ? (this.#watched.map(suspicionIn).find((why) => why !== null) ?? null) : null;
  }

  /** Devices of the canary are not heard, or not on the model: no data, and not for want of labels. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Judges what is counted by `now`. A harmful verdict stays: what showed once has been shown. */
  look(now: Instant): void {
    if (this.#verdict === "Failed") return;
    const sinceMs = now - this.analysis.plan.startedAt;
    this.#lookedAt = now;
    try {
      for (const watched of this.#watched) this.#lookAt(watched, sinceMs);
      this.#lookAtCrashes();
      [this.#verdict, this.#why] = this.#conclude(sinceMs, this.analysis.heard(now - this.#settings.silenceMs));
    } catch (error) {
      [this.#verdict, this.#why] = ["Error", reasonOf(error)];
    }
  }

  /** As of the last look. `devices`: what the arms' devices report. */
  evidence(
    devices: { readonly control: Reporting; readonly canary: Reporting },
    refused: AnalysisEvidence["refused"],
  ): AnalysisEvidence {
    const { plan } = this.analysis;
    const now = this.#lookedAt ?? plan.startedAt;
    const since = now - this.#settings.silenceMs;
    const heard = this.analysis.heard(since);
    const armOf = (arm: "control" | "canary") => ({
      devices: plan[arm].length,
      heard: heard[arm],
      ...devices[arm],
      silent: [...this.analysis.silent(arm, since, SILENT_NAMED_MAX)],
    });
    return {
      format: "tributary.analysis/1",
      startedAtMs: plan.startedAt,
      sinceMs: Math.max(0, now - plan.startedAt),
      burnInMs: this.#spec.burnIn,
      why: this.#why.slice(0, 500),
      control: armOf("control"),
      canary: armOf("canary"),
      metrics: this.#watched.map(({ spec, crossCheck, plannedVariance: planned, segments, look }) => ({
        name: spec.name,
        alpha: spec.alpha,
        beta: spec.beta,
        tolerated: spec.tolerated,
        margin: spec.margin,
        plannedVariance: planned,
        ...countedIn(this.analysis.counts(spec.name)),
        source: spec.provider === undefined ? "kafka" : "prometheus",
        note: this.#notes.get(spec.name) ?? null,
        crossCheck: crossCheckOf(crossCheck),
        ...segmentEvidenceOf(segments, look),
      })),
      looks: this.#looks,
      crashes: this.#crashes,
      refused,
      settings: [],
    };
  }

  #lookAt(watched: Watched, sinceMs: number): void {
    const { spec } = watched;
    const counts = this.analysis.counts(spec.name);
    const counted = countedIn(counts);
    [watched.isHarmful, watched.isSafe] = [false, null];
    [watched.look, watched.counted] = [null, counted];
    watched.sampleSizes = effectiveSampleSizes(counts.control, counts.canary);
    if (typeof watched.crossCheck !== "string") watched.crossCheck.look(sinceMs, counts);
    if (Math.min(counted.control.devices, counted.canary.devices) < DEVICES_MIN) return;
    watched.watch ??= sinceMs < this.#spec.burnIn ? null : this.#watchOf(watched, counts, counted, sinceMs);
    const look = watched.watch?.look(sinceMs, counts, watched.segments.counts(counts)) ?? null;
    if (look === null) return;
    [watched.isHarmful, watched.isSafe] = [look.isHarmful, look.isSafe];
    watched.look = look;
    this.#looks = thinned([...this.#looks, lookOf(spec.name, sinceMs, look, counted)]);
  }

  #watchOf(watched: Watched, counts: Counts, { control }: Arms, sinceMs: number): MetricWatch {
    const framesBefore = this.analysis.framesBefore(watched.spec.name);
    const rate = framesBefore === 0 ? unknown.rate : Math.min(RATE_MAX, Math.max(0.5, meanOf(counts.control.before)));
    const framesOfOne =
      watched.sampleSizes === null
        ? control.frames / control.devices
        : watched.sampleSizes.control / counts.control.frames.length;
    watched.plannedVariance = plannedVariance({
      canaries: this.analysis.plan.canary.length,
      controls: this.analysis.plan.control.length,
      rate,
      frames: (framesOfOne / sinceMs) * this.#settings.plannedMs,
      deviceSd: framesBefore === 0 ? unknown.deviceSd : Math.sqrt((rate * (1 - rate)) / framesBefore),
    });
    return this.#watchWith(watched, watched.plannedVariance);
  }

  #watchWith(watched: Watched, planned: number): MetricWatch {
    return new MetricWatch({
      ...watched.spec,
      burnInMs: this.#spec.burnIn,
      restartMs: metricDefaults.restartMs,
      endMs: this.#endMs,
      plannedVariance: planned,
      segments: watched.segments.weights,
    });
  }

  #lookAtCrashes(): void {
    const { control, canary, share } = this.analysis.crashes();
    const alpha = this.#spec.crashes.alpha * this.#share;
    const logHarm = control + canary === 0 ? 0 : logCrashEvidence(canary, control + canary, share);
    this.#crashes = { control, canary, share, logHarm, alpha };
  }

  #conclude(sinceMs: number, heard: Heard): readonly [Verdict | null, why: string] {
    const harmful = this.#watched.filter(({ isHarmful }) => isHarmful).map(harmIn);
    const { canary, control } = this.analysis.plan;
    if (this.#crashes !== null && this.#crashes.logHarm >= -Math.log(this.#crashes.alpha)) {
      const of = (arm: "control" | "canary", all: number) => `${this.#crashes?.[arm]} of ${all} ${arm} devices`;
      harmful.push(`the model crashed on ${of("canary", canary.length)}, against ${of("control", control.length)}`);
    }
    const deciding = this.#watched.filter(({ spec }) => spec.margin !== null);
    const named = ({ spec: { name } }: Watched) => {
      const note = this.#notes.get(name);
      return note === undefined ? name : `${name} (${note})`;
    };
    const missing = deciding
      .filter(({ isSafe }) => isSafe === null)
      .map((watched) => `${named(watched)}${heardIn(watched)}`);
    const stale = deciding.filter((watched) => watched.isSafe !== null && this.#isStale(watched, sinceMs)).map(named);
    const unsure = deciding.filter(({ isSafe }) => isSafe === false).map((one) => this.#unsureIn(one, sinceMs));
    const silence = this.#silenceIn(heard);
    this.#isSilent = silence !== null && sinceMs >= this.#spec.burnIn;
    if (harmful.length > 0) return ["Failed", harmful.join("; ")];
    if (sinceMs < this.#spec.burnIn) return [null, "the devices are still warming up"];
    if (silence !== null) return ["NoData", silence];
    if (missing.length > 0) return ["NoData", `nothing to compare in ${missing.join(", ")}`];
    if (stale.length > 0) return ["NoData", `nothing new for too long in ${stale.join(", ")}`];
    if (unsure.length > 0) return [null, unsure.join("; ")];
    if (sinceMs < this.#exposureMs) return [null, "crashes are given time to show"];
    return ["Successful", "harm is below every margin"];
  }

  #unsureIn({ spec, look, watch, segments, counted }: Watched, sinceMs: number): string {
    const { name, margin, alpha, beta } = spec;
    if (look === null || watch === null || margin === null) return `${name}: nothing is known yet`;
    const { canary } = this.analysis.plan;
    const of = look.comparison.harm > margin ? "harm" : "safety";
    const { moreMs, timesDevices } = watch.forecast(look, sinceMs, of);
    const more =
      timesDevices === null ? null : Math.ceil((timesDevices - 1) * (counted?.canary.devices ?? canary.length));
    const leading = look.leading === null ? null : look.segments[look.leading];
    return unsureWords(name, {
      look,
      margin,
      alpha,
      beta,
      moreMs,
      moreDevices: more,
      segment:
        leading == null || leading.logHarm <= 0
          ? null
          : { ...leading, ...(segments.segments[look.leading as number] as Segment) },
    });
  }

  #isStale({ spec }: Watched, sinceMs: number): boolean {
    const { startedAt } = this.analysis.plan;
    const newest = this.analysis.newest(spec.name) ?? startedAt;
    return spec.provider !== undefined && startedAt + sinceMs - newest > this.#settings.silenceMs;
  }

  /** Null: everybody is heard who should be. */
  #silenceIn(heard: Heard): string | null {
    const { canary, control, absent = [] } = this.analysis.plan;
    const canaries = canary.length - absent.length;
    const least = this.#settings.heardShareMin;
    const controlShare = heard.control / control.length;
    // Rounded down: of eight devices one may be away.
    if (controlShare < least / 2 || heard.canary < Math.floor(least * controlShare * canaries))
      return `${heard.canary} of ${canaries} canary and ${heard.control} of ${control.length} control devices are heard`;
    const others = heard.canary - heard.canaryOnCandidate;
    if (heard.canaryOnCandidate < Math.floor(least * heard.canary))
      return `the frames of ${others} of ${heard.canary} canary devices are another model's`;
    // They would hide the harm that they have as well.
    if (heard.controlOnCandidate > (1 - least) * heard.control)
      return `the frames of ${heard.controlOnCandidate} of ${heard.control} control devices are of the model that is judged`;
    return null;
  }
}

function harmIn({ spec, look, segments }: Watched): string {
  if (look === null) return `worse in ${spec.name}`;
  const leading = look.leading === null ? null : look.segments[look.leading];
  if (leading == null)
    return `${harmWords(spec.name, look.comparison, look.band)}${crossedWords(look, spec.tolerated)}`;
  return harmWords(spec.name, leading.comparison, leading.band, segments.segments[look.leading as number]);
}

function suspicionIn({ spec, look, crossCheck }: Watched): string | null {
  if (typeof crossCheck !== "string" && crossCheck.looks.at(-1)?.isHarmful === true)
    return `the cross-check of ${spec.name} shows harm (${crossCheckWords(crossCheckOf(crossCheck))})`;
  if (look === null || spec.margin === null || look.comparison.harm <= spec.margin) return null;
  const p = pOfOneLook(look.comparison);
  return p <= spec.alpha ? marginWords(spec.name, look.comparison.harm, spec.margin, p) : null;
}

/** Which devices a metric covers, where these are too few. */
function heardIn({ counted, sampleSizes }: Watched): string {
  if (counted === null) return "";
  const { canary, control } = counted;
  if (Math.min(canary.devices, control.devices) < DEVICES_MIN)
    return `: frames of known outcome from ${canary.devices} canary and ${control.devices} control devices, of each ${DEVICES_MIN} are needed`;
  if (sampleSizes === null || Math.min(sampleSizes.canary, sampleSizes.control) >= LABELS_MIN) return "";
  const words = (arm: "canary" | "control") => `${Math.floor(sampleSizes[arm])} of the ${arm}`;
  return `: labels that are worth ${words("canary")} and ${words("control")}, of each ${LABELS_MIN} are needed`;
}

/** How many comparisons a rollout makes: one for each weight that leaves somebody to compare with. */
export function comparisonsOf({ spec }: RolloutSpec): number {
  return Math.max(1, spec.strategy.canary.steps.filter((step) => "setWeight" in step && step.setWeight < 100).length);
}

type Arms = { readonly control: Counted; readonly canary: Counted };

function countedIn(counts: Counts): Arms {
  const counted = ({ frames, sample }: Counts["control"]): Counted => {
    const seen = { devices: 0, frames: 0 };
    for (let i = 0; i < frames.length; i++) {
      if (frames[i] === 0) continue;
      seen.devices += 1;
      seen.frames += (sample?.labels ?? frames)[i] as number;
    }
    return { ...seen, frames: Math.round(seen.frames) };
  };
  return { control: counted(counts.control), canary: counted(counts.canary) };
}

function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
}
