/** The pictures of an analysis: how much worse the canary may be, and how strong the evidence is, over time. */
import type { AnalysisEvidence, AnalysisLook, AnalysisMetric } from "../evidence.ts";
import { type Axis, colours, Plot, rangeOf } from "./svg.ts";

const SIZE = { width: 640, height: 220 };
const BURN_IN = "#f3f3f3";

/** Moments of the rollout within an analysis. */
export type Moment = { readonly sinceMs: number; readonly label: string };

/** Harm with its always-valid band, in percentage points. Metrics are shares, so the plot shows hundredths. */
export function harmPlot(id: string, evidence: AnalysisEvidence, metric: AnalysisMetric, moments: readonly Moment[]) {
  const looks = looksOf(evidence, metric);
  const time = timeAxis(evidence);
  const tolerated = 100 * metric.tolerated;
  const margin = metric.margin === null ? null : 100 * metric.margin;
  // Early bands are wide; what they hold is drawn as far as it fits.
  const late = looks.slice(Math.floor(looks.length / 2));
  const values = [
    ...looks.map(({ harm }) => 100 * harm),
    ...late.flatMap(({ low, high }) => [low, high].flatMap((value) => (value === null ? [] : [100 * value]))),
    0,
    tolerated,
    ...(margin === null ? [] : [margin]),
  ];
  const y: Axis = { ...rangeOf(values), title: "harm (percentage points)", text: decimal };
  const plot = new Plot(id, time.axis, y, SIZE);
  plot.stretch({ from: 0, to: evidence.burnInMs / time.unitMs }, BURN_IN);
  plot.band(
    looks.map(({ sinceMs, low, high }) => ({
      x: sinceMs / time.unitMs,
      low: low === null ? null : 100 * low,
      high: high === null ? null : 100 * high,
    })),
    colours.harm,
  );
  plot.level(tolerated, colours.bad, `tolerated ${decimal(tolerated)}: above is harm`);
  if (margin !== null) plot.level(margin, colours.good, `margin ${decimal(margin)}: below is safe`);
  plot.curve(
    looks.map(({ sinceMs, harm }) => ({ x: sinceMs / time.unitMs, y: 100 * harm })),
    colours.harm,
    "estimate and its band",
  );
  for (const { sinceMs, label } of moments) plot.moment(sinceMs / time.unitMs, label);
  return plot.svg(`Harm in ${metric.name} over time, with its always-valid band`);
}

/** ln e for harm and for safety, beside what is needed for each. */
export function evidencePlot(id: string, evidence: AnalysisEvidence, metric: AnalysisMetric) {
  const looks = looksOf(evidence, metric);
  const time = timeAxis(evidence);
  const [back, on] = [-Math.log(metric.alpha), -Math.log(metric.beta)];
  const hasMargin = metric.margin !== null;
  // Evidence of a clear case grows without bound: what is far beyond the threshold is drawn at the edge, and its label gives
  // the value.
  const drawn = (value: number) => Math.min(3 * back, Math.max(-2 * back, value));
  const all = looks.flatMap(({ logHarm, logSafe }) => [logHarm, ...(logSafe === null ? [] : [logSafe])]);
  const values = [0, back, ...(hasMargin ? [on] : []), ...all.map(drawn)];
  const y: Axis = { ...rangeOf(values), title: "evidence (ln e)", text: decimal };
  const plot = new Plot(id, time.axis, y, { ...SIZE, height: 150 });
  plot.stretch({ from: 0, to: evidence.burnInMs / time.unitMs }, BURN_IN);
  const curve = (value: (look: AnalysisLook) => number | null, colour: string, label: string) => {
    const last = looks.map(value).at(-1) ?? null;
    plot.curve(
      looks.flatMap((look) => {
        const y = value(look);
        return y === null ? [] : [{ x: look.sinceMs / time.unitMs, y: drawn(y) }];
      }),
      colour,
      last === null ? label : `${decimal(last)} ${label}`,
    );
  };
  plot.level(back, colours.bad, `${decimal(back)} rolls back`);
  curve(({ logHarm }) => logHarm, colours.bad, "harm above tolerated");
  if (hasMargin) {
    plot.level(on, colours.good, `${decimal(on)} is enough to widen`);
    curve(({ logSafe }) => logSafe, colours.good, "harm below the margin");
  }
  return plot.svg(`Evidence of harm and of safety in ${metric.name} over time`);
}

/** Percent of the devices that shall run the model, step by step. */
export function weightPlot(
  id: string,
  weights: readonly { readonly at: number; readonly weight: number }[],
  ended: number,
  moments: readonly { readonly at: number; readonly label: string }[],
): string {
  const startedAt = weights[0]?.at ?? 0;
  const { unitMs, unit } = unitOf(ended - startedAt);
  const x: Axis = {
    from: 0,
    to: Math.max((ended - startedAt) / unitMs, 1e-6),
    title: `${unit} since it started`,
    text: decimal,
  };
  const y: Axis = { from: 0, to: 105, title: "set weight (%)", text: decimal };
  const plot = new Plot(id, x, y, { ...SIZE, height: 120 });
  const points = weights.flatMap(({ at, weight }, i) => {
    const before = weights[i - 1];
    const own = { x: (at - startedAt) / unitMs, y: weight };
    return before === undefined ? [own] : [{ x: own.x, y: before.weight }, own];
  });
  const last = weights.at(-1)?.weight ?? 0;
  plot.curve([...points, { x: x.to, y: last }], colours.harm, `${decimal(last)} % of the devices`);
  for (const { at, label } of moments.toReversed()) plot.moment((at - startedAt) / unitMs, label);
  return plot.svg("Percent of the devices that shall run the model, over time");
}

export const looksOf = ({ looks }: AnalysisEvidence, { name }: AnalysisMetric): readonly AnalysisLook[] =>
  looks.filter(({ metric }) => metric === name);

/** At most three digits behind the point, with a real minus. */
export const decimal = (value: number): string =>
  String(Number(value.toFixed(Math.abs(value) < 0.1 ? 3 : 2))).replace("-", "\u2212");

function timeAxis({ sinceMs, burnInMs }: AnalysisEvidence): { readonly axis: Axis; readonly unitMs: number } {
  const to = Math.max(sinceMs, burnInMs, 1_000) * 1.02;
  const { unitMs, unit } = unitOf(to);
  return { axis: { from: 0, to: to / unitMs, title: `${unit} since the arms are compared`, text: decimal }, unitMs };
}

function unitOf(ms: number): { readonly unitMs: number; readonly unit: string } {
  if (ms <= 180_000) return { unitMs: 1_000, unit: "seconds" };
  return ms <= 6 * 3_600_000 ? { unitMs: 60_000, unit: "minutes" } : { unitMs: 3_600_000, unit: "hours" };
}
