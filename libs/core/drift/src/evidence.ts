/** The figures behind a verdict: features before and now, their time line, the mix of classes. */
import type { DriftVerdict } from "@tributary/contracts";
import { meanBefore, meanShift } from "./clusters.ts";
import { type DriftReference, LABEL_PREFIX } from "./drift-reference.ts";
import type { CameraDrift, StreamAlarm } from "./findings.ts";
import type { Group } from "./group.ts";

/** Moments of the time line. */
const MOMENTS = 48;

type Cameras = readonly { readonly drift: CameraDrift }[];
type Feature = DriftVerdict["features"][number];

export type Evidence = Pick<DriftVerdict, "features" | "timeline" | "mix">;

export function evidenceOf({ members, look: { reference }, mix }: Group): Evidence {
  const cameras = members.flatMap((member) => member.cameras);
  if (reference === undefined || cameras.length === 0) return { features: [], timeline: [], mix: {} };
  const shifts = meanShift(cameras);
  const features = featuresOf(cameras, shifts, reference);
  // Strongest evidence first.
  const order = [...features.keys()].sort((a, b) => {
    const [x, y] = [features[a] as Feature, features[b] as Feature];
    return y.logEvidence - x.logEvidence || Math.abs(shifts[b] as number) - Math.abs(shifts[a] as number) || a - b;
  });
  const mixChange = mix === null ? [] : reference.labels.map((label, i) => [label, changeOf(mix, i)] as const);
  return {
    features: order.map((stream) => features[stream] as Feature),
    timeline: timelineOf(cameras, order),
    mix: Object.fromEntries(mixChange),
  };
}

/** Four decimals: a verdict is not published again for less. */
export const rounded = (value: number): number => Math.round(value * 10_000) / 10_000;

const changeOf = (mix: NonNullable<Group["mix"]>, i: number) => ({
  before: rounded(mix.before[i] ?? 0),
  now: rounded(mix.now[i] ?? 0),
});

function featuresOf(cameras: Cameras, shifts: ArrayLike<number>, reference: DriftReference): readonly Feature[] {
  const before = meanBefore(cameras);
  const alarms = alarmsByStream(cameras, reference.streams.length);
  const counts = new Map(
    reference.sketch.histograms.map((histogram) => [histogram.feature as string, histogram.counts]),
  );
  return reference.streams.map(({ name }, stream): Feature => {
    const ofStream = alarms[stream] as StreamAlarm[];
    const logEvidence = ofStream.reduce((largest, alarm) => Math.max(largest, alarm.logEvidence), 0);
    return {
      feature: name,
      before: rounded(before[stream] as number),
      now: rounded((before[stream] as number) + (shifts[stream] as number)),
      alarms: ofStream.length,
      logEvidence: Math.round(logEvidence * 10) / 10,
      reference: name.startsWith(LABEL_PREFIX) ? [] : sharesOf([counts.get(name) ?? []]),
      current: sharesOf(ofStream.map((alarm) => alarm.counts)),
    };
  });
}

function alarmsByStream(cameras: Cameras, streams: number): StreamAlarm[][] {
  const alarms = Array.from({ length: streams }, (): StreamAlarm[] => []);
  for (const { drift } of cameras) for (const alarm of drift.alarms) alarms[alarm.stream]?.push(alarm);
  return alarms;
}

/** Shares per bin; empty without counts. */
function sharesOf(histograms: readonly ArrayLike<number>[]): number[] {
  const sums: number[] = [];
  for (const counts of histograms) {
    for (let bin = 0; bin < counts.length; bin++) sums[bin] = (sums[bin] ?? 0) + (counts[bin] as number);
  }
  const all = sums.reduce((sum, count) => sum + count, 0);
  return all === 0 ? [] : sums.map((count) => rounded(count / all));
}

/** Mean shift of each stream in spans of equal length, over the cameras that have windows there. */
function timelineOf(cameras: Cameras, order: readonly number[]): DriftVerdict["timeline"] {
  const spans = cameras.flatMap(({ drift }) => drift.history);
  if (spans.length === 0) return [];
  const from = spans.reduce((first, { at }) => Math.min(first, at), Number.POSITIVE_INFINITY);
  const to = spans.reduce((last, { at }) => Math.max(last, at), from);
  const spanMs = Math.max(1, Math.ceil((to - from + 1) / MOMENTS));
  const sums = new Map<number, { spans: number; shifts: Float64Array }>();
  for (const { at, shifts } of spans) {
    const moment = Math.floor((at - from) / spanMs);
    const sum = sums.get(moment) ?? { spans: 0, shifts: new Float64Array(order.length) };
    sums.set(moment, sum);
    sum.spans++;
    for (const [i, stream] of order.entries()) sum.shifts[i] = (sum.shifts[i] as number) + (shifts[stream] as number);
  }
  return [...sums]
    .sort(([a], [b]) => a - b)
    .map(([moment, { spans: count, shifts }]) => ({
      at: Math.round(from + moment * spanMs),
      shifts: Array.from(shifts, (sum) => rounded(sum / count)),
    }));
}
