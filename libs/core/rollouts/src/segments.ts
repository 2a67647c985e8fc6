/** What a comparison judges beside the whole: each class of its task, and each site of its devices. Fixed when the rollout is
 * created: classes are the model's labels, sites those of its devices then. No later frame or label adds a
 * segment, so the weights are fixed beforehand (metric-watch.ts W1) and memory is bounded. What is beyond the bounds is not
 * judged by segment: the whole of such a fleet, or task, is judged as ever. A site counts if both arms have enough of its
 * devices as assigned, and it is not all of them. */
import { CLASSIFIED, type FleetAnalysis } from "./fleet-metrics/analysis.ts";
import type { Arm } from "./judge/comparison.ts";
import { type Counts } from "./judge/harm-process.ts";
import { SEGMENT_LEAST, segmentWeights } from "./judge/metric-watch.ts";

/** As `created` keeps them. */
export type Segments = {
  /** Labels of the model; empty: not judged by class. */
  readonly classes: readonly string[];
  /** Names of sites; empty: not judged by site. */
  readonly sites: readonly string[];
  /** Of each device, in the rollout's order, the index of its site; -1: none. */
  readonly siteOf: readonly number[];
};

export type Segment = { readonly kind: "class" | "site"; readonly name: string };

export const [CLASSES_MAX, SITES_MAX] = [64, 1_000] as const;
/** Devices of both arms times classes; a device and class take 16 bytes, and as much for each late start. */
const CELLS_MAX = 200_000;
/** Of one comparison, those with the largest canary. */
const SITES_JUDGED_MAX = 16;

/** Null: there is nothing beside the whole. `siteOf` gives "" where nothing is known. */
export function segmentsOf(
  labels: readonly string[],
  order: readonly string[],
  siteOf: (deviceId: string) => string,
  devicesMax: number,
): Segments | null {
  const classes = labels.length >= 2 && labels.length <= CLASSES_MAX ? [...new Set(labels)] : [];
  const placed = order.map(siteOf);
  const names = [...new Set(placed)].filter((name) => name !== "");
  const sites = names.length <= SITES_MAX && order.length <= devicesMax ? names : [];
  if (classes.length === 0 && sites.length === 0) return null;
  const indexes = new Map(sites.map((name, i) => [name, i]));
  return { classes, sites, siteOf: sites.length === 0 ? [] : placed.map((name) => indexes.get(name) ?? -1) };
}

/** Classes that an analysis of so many devices counts. */
export const classesJudged = (segments: Segments | null, devices: number): readonly string[] =>
  segments === null || segments.classes.length * devices > CELLS_MAX ? [] : segments.classes;

/** The segments of one metric in a comparison, in an order that never changes. */
export class SegmentCounts {
  readonly segments: readonly Segment[];
  readonly weights: readonly number[];
  readonly #classes: () => readonly Counts[];
  readonly #sites: readonly Arms[];

  constructor(metric: string, analysis: FleetAnalysis, segments: Segments | null) {
    const { canary, control, classes = [] } = analysis.plan;
    const named = metric === CLASSIFIED ? classes : [];
    const sites = segments === null ? [] : sitesJudged(segments, canary.length, control.length);
    this.segments = [
      ...named.map((name): Segment => ({ kind: "class", name })),
      ...sites.map(({ name }): Segment => ({ kind: "site", name })),
    ];
    this.weights = segmentWeights([named.length, sites.length]);
    this.#classes = named.length === 0 ? () => [] : () => analysis.classCounts();
    this.#sites = sites;
  }

  /** `whole`: the metric's. */
  counts(whole: Counts): readonly Counts[] {
    return [
      ...this.#classes(),
      ...this.#sites.map(({ canary, control }) => ({
        canary: picked(whole.canary, canary),
        control: picked(whole.control, control),
      })),
    ];
  }
}

/** Places of a site's devices within each arm. */
type Arms = { readonly name: string; readonly canary: readonly number[]; readonly control: readonly number[] };

/** The canary is the first of the order, the control its last. */
function sitesJudged({ sites, siteOf }: Segments, canaries: number, controls: number): readonly Arms[] {
  const arms = sites.map((name) => ({ name, canary: [] as number[], control: [] as number[] }));
  for (let i = 0; i < canaries; i++) arms[siteOf[i] as number]?.canary.push(i);
  for (let i = 0; i < controls; i++) arms[siteOf[siteOf.length - controls + i] as number]?.control.push(i);
  return arms
    .filter(({ canary, control }) => Math.min(canary.length, control.length) >= SEGMENT_LEAST.devices)
    .filter(({ canary, control }) => canary.length + control.length < canaries + controls)
    .sort((a, b) => b.canary.length - a.canary.length)
    .slice(0, SITES_JUDGED_MAX);
}

const picked = ({ good, frames, before, sample }: Arm, places: readonly number[]): Arm => {
  const of = (column: ArrayLike<number>) => Float64Array.from(places, (place) => column[place] as number);
  return {
    good: of(good),
    frames: of(frames),
    before: of(before),
    ...(sample && {
      sample: { labels: of(sample.labels), squares: of(sample.squares), badSquares: of(sample.badSquares) },
    }),
  };
};
