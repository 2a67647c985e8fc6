/** What an analysis saw, as it stands in the event that it led to: for people, who read it in the report. Bounded: at most
 * `LOOKS_MAX` looks of all metrics together, the first and the last of each among them, so an event stays far below what Kafka
 * takes. JSON: what has no number (an unbounded band) is null, and numbers are cut to six digits. Old events stay readable:
 * unknown fields are ignored, and later ones need a default here. */

import { z } from "zod";
import type { MetricLook } from "./judge/metric-watch.ts";
import type { CrossCheck } from "./judge/rerandomisation.ts";
import type { Segment } from "./segments.ts";

export const LOOKS_MAX = 200;
const NAMED_MAX = 20;

const count = z.number().int().nonnegative();
const share = z.number().finite();
const text = z.string().max(500);
const counted = z.object({
  /** Devices with at least one frame of known outcome since the start. */
  devices: count,
  /** Frames of known outcome since the start. */
  frames: count,
});

const look = z.object({
  metric: z.string().max(64),
  /** ms since `startedAtMs`. */
  sinceMs: z.number().nonnegative(),
  /** Rate of good frames in the control less the canary's, as a share: harm is above 0. */
  harm: share,
  /** Always-valid band of the harm; null: unbounded. */
  low: share.nullable(),
  high: share.nullable(),
  /** ln e for harm above what is tolerated, of the whole and its segments together; -ln alpha rolls back. */
  logHarm: share,
  /** ln e for harm below the margin; -ln beta is enough to widen. Null without a margin. */
  logSafe: share.nullable(),
  control: counted,
  canary: counted,
});

/** A class or a site, judged for itself, at the last look. */
const segment = z.object({
  kind: z.enum(["class", "site"]),
  name: z.string().max(256),
  /** Of its e-value in that of the metric; they add up to 1 with the whole's. */
  weight: share,
  harm: share,
  low: share.nullable(),
  high: share.nullable(),
  /** ln e for harm above what is tolerated in a segment. */
  logHarm: share,
});

/** The verdict's cross-check by re-randomisation, see rerandomisation.ts of the judge. It shows of an analysis that ends
 * undecided whether harm is likely. */
const crossCheck = z.object({
  /** Why it is not made; null: it is. */
  why: text.nullable(),
  /** Draws of the arms, beside the one that was made. */
  draws: count,
  /** When it looks, fixed beforehand, ms since `startedAtMs`. */
  plannedMs: z.array(z.number().nonnegative()).max(NAMED_MAX),
  looks: z
    .array(
      z.object({
        sinceMs: z.number().nonnegative(),
        /** One-sided, that the canary does no worse. */
        p: share,
        /** What of the metric's alpha may be spent by now. */
        spent: share,
        /** p is at or below what is spent; no look follows. */
        isHarmful: z.boolean(),
      }),
    )
    .max(NAMED_MAX),
});

const metric = z.object({
  name: z.string().max(64),
  alpha: share,
  beta: share,
  tolerated: share,
  margin: share.nullable(),
  /** Variance of the harm that was planned, in units of the metric squared, see `plannedVariance` of the judge. */
  plannedVariance: share.nullable().default(null),
  source: z.enum(["kafka", "prometheus"]).default("kafka"),
  /** A problem of the metric's source, as the writer of this saw it; null: none. */
  note: text.nullable().default(null),
  /** Null: written before there was one. */
  crossCheck: crossCheck.nullable().default(null),
  /** Judged beside the whole; 0: only the whole is. */
  segments: count.default(0),
  /** Of these, those with the most evidence of harm, the first the most; those with too little to compare are left out. */
  worst: z.array(segment).max(NAMED_MAX).default([]),
  /** What is known now, also while there is too little for a look. */
  control: counted,
  canary: counted,
});

const arm = z.object({
  /** As assigned. */
  devices: count,
  /** Of these, heard of since the start. */
  heard: count,
  /** Of these, infer with the model of their arm, by digest. */
  onModel: count,
  /** Devices that report that they do not reproduce their package's golden frames. */
  goldenFailed: count.default(0),
  /** Some of those that were not heard. */
  silent: z.array(z.string().max(64)).max(NAMED_MAX).default([]),
});

export const analysisEvidence = z.object({
  format: z.literal("tributary.analysis/1"),
  /** From when on the arms are compared, ms since 1970. */
  startedAtMs: z.number(),
  /** The last look, ms since then. */
  sinceMs: z.number().nonnegative(),
  burnInMs: z.number().nonnegative(),
  /** Why it is decided so, or why not yet, in words. */
  why: text,
  control: arm,
  canary: arm,
  metrics: z.array(metric).max(8),
  /** In order of time. */
  looks: z.array(look).max(LOOKS_MAX),
  crashes: z
    .object({
      /** Devices that crashed at least once. */
      control: count,
      canary: count,
      /** The canary's share of the exposure, 0 to 1. */
      share,
      /** ln e for more crashes than that share; -ln alpha rolls back. */
      logHarm: share,
      alpha: share,
    })
    .nullable()
    .default(null),
  /** Devices that refused the model or left it by themselves: the first, and how many in all. */
  refused: z
    .object({
      devices: count,
      some: z.array(z.object({ deviceId: z.string().max(64), code: z.string().max(64), reason: text })).max(NAMED_MAX),
    })
    .default({ devices: 0, some: [] }),
  /** Settings of the service, not of the specification, that differ from their defaults. */
  settings: z
    .array(z.object({ name: z.string().max(128), value: z.string().max(128), default: z.string().max(128) }))
    .max(64)
    .default([]),
});

export type AnalysisEvidence = z.output<typeof analysisEvidence>;
export type AnalysisLook = z.output<typeof look>;
export type AnalysisMetric = z.output<typeof metric>;
export type AnalysisCrossCheck = z.output<typeof crossCheck>;
export type AnalysisSegment = z.output<typeof segment>;
export type Counted = z.output<typeof counted>;

/** Null for what is no evidence of an analysis: evidence of other transitions, or written by others. */
export function analysisEvidenceOf(evidence: unknown): AnalysisEvidence | null {
  const read = analysisEvidence.safeParse(evidence);
  return read.success ? read.data : null;
}

/** A look of the judge as evidence keeps it. */
export function lookOf(
  name: string,
  sinceMs: number,
  { comparison, band, logHarm, logSafe }: MetricLook,
  arms: { readonly control: Counted; readonly canary: Counted },
): AnalysisLook {
  const { control, canary } = arms;
  return {
    metric: name,
    sinceMs,
    harm: rounded(comparison.harm),
    low: bounded(band.lower),
    high: bounded(band.upper),
    logHarm: rounded(logHarm),
    logSafe: logSafe === null ? null : rounded(logSafe),
    control: { devices: control.devices, frames: control.frames },
    canary: { devices: canary.devices, frames: canary.frames },
  };
}

/** What a metric's segments show at a look, as evidence keeps it. */
export function segmentEvidenceOf(
  { segments, weights }: { readonly segments: readonly Segment[]; readonly weights: readonly number[] },
  look: Pick<MetricLook, "segments"> | null,
): Pick<AnalysisMetric, "segments" | "worst"> {
  const worst = segments.flatMap(({ kind, name }, i): AnalysisSegment[] => {
    const one = look?.segments[i] ?? null;
    if (one === null) return [];
    const { comparison, band, logHarm } = one;
    return [
      {
        kind,
        name,
        weight: rounded(weights[i] as number),
        harm: rounded(comparison.harm),
        low: bounded(band.lower),
        high: bounded(band.upper),
        logHarm: rounded(logHarm),
      },
    ];
  });
  worst.sort((a, b) => b.logHarm + Math.log(b.weight) - a.logHarm - Math.log(a.weight));
  return { segments: segments.length, worst: worst.slice(0, NAMED_MAX) };
}

/** A cross-check as evidence keeps it; in words: why there is none. */
export function crossCheckOf(check: CrossCheck | string): AnalysisCrossCheck {
  if (typeof check === "string") return { why: check, draws: 0, plannedMs: [], looks: [] };
  const { draws, plannedMs, looks } = check;
  const looked = looks.map(({ p, spent, ...rest }) => ({ ...rest, p: rounded(p), spent: rounded(spent) }));
  return { why: null, draws, plannedMs: [...plannedMs], looks: looked };
}

/** Leaves out looks until `max` are left, always the one that is missed least: it closes the smallest gap of its metric.
 * The first and the last look of each metric stay. May be called after every look: what is kept spreads evenly. */
export function thinned(looks: readonly AnalysisLook[], max = LOOKS_MAX): AnalysisLook[] {
  const kept = [...looks];
  while (kept.length > max) {
    const index = leastMissed(kept);
    if (index === null) return kept.slice(-max); // More metrics than that have a first and a last.
    kept.splice(index, 1);
  }
  return kept;
}

function leastMissed(looks: readonly AnalysisLook[]): number | null {
  const before = new Map<string, { index: number; gapFrom: number | null }>();
  let least: { index: number; gap: number } | null = null;
  for (const [index, { metric, sinceMs }] of looks.entries()) {
    const last = before.get(metric);
    if (last !== undefined && last.gapFrom !== null) {
      const gap = sinceMs - last.gapFrom;
      if (least === null || gap < least.gap) least = { index: last.index, gap };
    }
    before.set(metric, { index, gapFrom: last === undefined ? null : (looks[last.index]?.sinceMs ?? null) });
  }
  return least?.index ?? null;
}

const rounded = (value: number): number => Number(value.toPrecision(6));
const bounded = (value: number): number | null => (Number.isFinite(value) ? rounded(value) : null);
