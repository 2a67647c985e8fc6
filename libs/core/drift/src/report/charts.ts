/** The pictures of a verdict: a heat map of features over time, histograms, and bars. SVG whose colours are the page's. */
import type { DriftFeature, DriftLoss, DriftMoment } from "@tributary/contracts";
import { Html, html, nothing } from "@tributary/kernel/html";
import { featureWords, percentOf } from "./words.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const STEPS_MS = [
  ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * MINUTE_MS),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR_MS),
  ...[1, 2, 7, 14, 30, 90].map((days) => days * DAY_MS),
];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** With a real minus, and a plus where it is one. */
export const signed = (value: number): string =>
  `${value > 0 ? "+" : value < 0 ? "\u2212" : ""}${Math.abs(Number.isFinite(value) ? value : 0).toFixed(2)}`;

/** Times of an axis, at most `most`, on whole minutes, hours or days in UTC; days are named where they begin. */
export function timeTicks(
  from: number,
  to: number,
  most: number,
): readonly { readonly at: number; readonly text: string }[] {
  const stepMs = STEPS_MS.find((ms) => (to - from) / ms <= most) ?? Math.ceil((to - from) / most);
  const ticks = [];
  let day = -1;
  for (let at = Math.ceil(from / stepMs) * stepMs; at <= to; at += stepMs) {
    const date = new Date(at);
    const clock = date.toISOString().slice(11, 16);
    const isNewDay = date.getUTCDate() !== day;
    day = date.getUTCDate();
    const named = `${day} ${MONTHS[date.getUTCMonth()]}`;
    ticks.push({ at, text: stepMs >= DAY_MS ? named : isNewDay ? `${named} ${clock}` : clock });
  }
  return ticks;
}

/** The largest shift of the colour scale: what is drawn in full colour. */
export const scaleOf = (shifts: readonly number[]): number =>
  Math.min(
    1,
    shifts.reduce((most, shift) => Math.max(most, Number.isFinite(shift) ? Math.abs(shift) : 0), 0.05),
  );

const HEAT = { width: 960, left: 190, right: 70, top: 26, row: 24, axis: 46 };
export const HEAT_ROWS_MAX = 16;

/** Feature by time: how far the mean of a feature is from its baseline. Empty without a timeline. */
export function heatMap(features: readonly DriftFeature[], timeline: readonly DriftMoment[], since: number): Html {
  const rows = features.slice(0, HEAT_ROWS_MAX);
  const moments = timeline.filter(({ at }) => Math.abs(at) <= 8.64e15);
  const [first, last] = [moments[0], moments.at(-1)];
  if (first === undefined || last === undefined || rows.length === 0) return nothing;
  const spanMs = spanOf(moments);
  const [from, to] = [first.at, Math.max(last.at + spanMs, first.at + 1)];
  const { width, left, right, top, row, axis } = HEAT;
  const inner = width - left - right;
  const bottom = top + rows.length * row;
  const x = (at: number) => left + (inner * (Math.min(to, Math.max(from, at)) - from)) / (to - from);
  const scale = scaleOf(moments.flatMap(({ shifts }) => shifts.slice(0, rows.length)));
  const cells = rows.flatMap((_, i) =>
    moments.map(({ at, shifts }, j) => {
      // A gap longer than two spans stays empty: nothing is known of it.
      const end = Math.min(moments[j + 1]?.at ?? at + spanMs, at + 2 * spanMs);
      return cell(shifts[i] ?? 0, scale, { x: x(at), y: top + i * row, width: x(end) - x(at), height: row - 2 });
    }),
  );
  const labels = rows.map(
    (
      { feature, alarms, now, before },
      i,
    ) => html`<text x="${left - 10}" y="${top + i * row + 15}" text-anchor="end" class="${alarms > 0 ? "strong" : "faint"}">${short(featureWords(feature))}</text>
<text x="${width - right + 8}" y="${top + i * row + 15}" class="${alarms > 0 ? "strong" : "faint"}">${signed(now - before)}</text>`,
  );
  const ticks = timeTicks(from, to, 7).map(
    ({ at, text }) =>
      html`<line x1="${x(at)}" x2="${x(at)}" y1="${bottom}" y2="${bottom + 5}" class="axis"/><text x="${x(at)}" y="${bottom + 19}" text-anchor="middle">${text}</text>`,
  );
  const isLate = x(since) > left + 0.7 * inner;
  const onset =
    since < from || since > to
      ? nothing
      : html`<line x1="${x(since)}" x2="${x(since)}" y1="${top - 8}" y2="${bottom}" class="onset"/><text x="${x(since) + (isLate ? -4 : 4)}" y="${top - 10}" text-anchor="${isLate ? "end" : "start"}" class="onset-text">onset</text>`;
  return html`<svg viewBox="0 0 ${width} ${bottom + axis}" role="img" aria-label="Shift of each feature over time">
<rect x="${left}" y="${top}" width="${inner}" height="${rows.length * row}" class="plot"/>
${cells}${labels}${ticks}${onset}
<text x="${left + inner / 2}" y="${bottom + 39}" text-anchor="middle" class="faint">time (UTC)</text>
<text x="${width - right + 8}" y="${top - 10}" class="faint">shift</text>
</svg>${legend(scale)}`;
}

/** The usual distance of two moments. */
function spanOf(moments: readonly DriftMoment[]): number {
  const gaps = moments.slice(1).map(({ at }, i) => at - (moments[i]?.at ?? at));
  return gaps.filter((gap) => gap > 0).sort((a, b) => a - b)[Math.floor(gaps.length / 2)] ?? MINUTE_MS;
}

type Box = { readonly x: number; readonly y: number; readonly width: number; readonly height: number };

const cell = (shift: number, scale: number, { x, y, width, height }: Box): Html => {
  const share = Math.min(1, Math.abs(Number.isFinite(shift) ? shift : 0) / scale);
  if (share < 0.01) return nothing;
  return html`<rect x="${x}" y="${y}" width="${Math.max(0.5, width)}" height="${height}" class="${shift > 0 ? "up" : "down"}" fill-opacity="${share}"/>`;
};

function legend(scale: number): Html {
  const steps = Array.from({ length: 21 }, (_, i) => (i - 10) / 10);
  const cells = steps.map((share, i) => cell(share, 1, { x: 60 + i * 12, y: 2, width: 12, height: 14 }));
  return html`<svg viewBox="0 0 960 22" role="img" aria-label="Colours of the heat map"><g transform="translate(130 0)">
<rect x="60" y="2" width="252" height="14" class="plot"/>${cells}
<text x="52" y="14" text-anchor="end">${signed(-scale)} lower</text><text x="320" y="14">higher ${signed(scale)}</text></g></svg>`;
}

const HISTOGRAM = { width: 300, height: 110, base: 92, top: 6 };

/** Shares per bin: filled, on the validation set; outlined, since the onset. Empty where the verdict has neither. */
export function histogram({ feature, reference, current }: DriftFeature): Html {
  const bins = Math.max(reference.length, current.length);
  if (bins === 0) return nothing;
  const { width, height, base, top } = HISTOGRAM;
  const most = Math.max(1e-9, ...[...reference, ...current].filter(Number.isFinite));
  const y = (share: number | undefined) =>
    base - ((base - top) * Math.max(0, Number.isFinite(share) ? (share as number) : 0)) / most;
  const x = (bin: number) => (width * bin) / bins;
  const filled = reference.map(
    (share, i) =>
      html`<rect x="${x(i) + 0.5}" y="${y(share)}" width="${width / bins - 1}" height="${base - y(share)}" class="before"/>`,
  );
  const steps = current.flatMap((share, i) => [
    `${round(x(i))},${round(y(share))}`,
    `${round(x(i + 1))},${round(y(share))}`,
  ]);
  const outline = [`0,${base}`, ...steps, `${width},${base}`].join(" ");
  const line =
    current.length === 0
      ? nothing
      : html`<polygon points="${outline}" class="now-area"/><polyline points="${outline}" class="now-line"/>`;
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="Histogram of ${featureWords(feature)}">${filled}${line}
<line x1="0" x2="${width}" y1="${base}" y2="${base}" class="axis"/>
<text x="0" y="${height - 4}" class="faint">low</text><text x="${width}" y="${height - 4}" text-anchor="end" class="faint">high</text>
<text x="${width / 2}" y="${height - 4}" text-anchor="middle" class="faint">highest bar ${percentOf(most)}</text></svg>`;
}

export type Bars = { readonly name: string; readonly before: number; readonly now: number };

/** Two bars a class: before and now. */
export function mixBars(bars: readonly Bars[]): Html {
  if (bars.length === 0) return nothing;
  const [width, left, right, row] = [960, 190, 150, 34];
  const most = Math.max(1e-9, ...bars.flatMap(({ before, now }) => [before, now]).filter(Number.isFinite));
  const wide = (share: number) => ((width - left - right) * Math.max(0, Number.isFinite(share) ? share : 0)) / most;
  const bar = (share: number, y: number, kind: string) =>
    html`<rect x="${left}" y="${y}" width="${wide(share)}" height="12" rx="2" class="${kind}"/><text x="${left + wide(share) + 6}" y="${y + 10.5}" class="${kind === "now" ? "strong" : "faint"}">${percentOf(share)}</text>`;
  const rows = bars.map(
    ({ name, before, now }, i) =>
      html`<text x="${left - 10}" y="${i * row + 20}" text-anchor="end">${short(name)}</text>${bar(before, i * row + 3, "before")}${bar(now, i * row + 16, "now")}`,
  );
  return html`<svg viewBox="0 0 ${width} ${bars.length * row}" role="img" aria-label="Mix of classes, before and now">${rows}</svg>`;
}

/** The error rate, beside what is tolerated. Empty without labels. */
export function lossBar({ errorRate, reference, tolerance, state }: DriftLoss): Html {
  if (errorRate === null) return nothing;
  const [width, left, right] = [960, 190, 150];
  const limit = reference + tolerance;
  const most = Math.max(1e-9, errorRate, limit) * 1.15;
  const x = (share: number) => left + ((width - left - right) * Math.max(0, share)) / most;
  return html`<svg viewBox="0 0 ${width} 66" role="img" aria-label="Error rate of labelled draws">
<text x="${left - 10}" y="38" text-anchor="end">wrong answers</text>
<rect x="${left}" y="24" width="${x(errorRate) - left}" height="20" rx="3" class="${state === "LOST" ? "lost" : "now"}"/>
<text x="${x(errorRate) + 8}" y="39" class="strong">${percentOf(errorRate)}</text>
<line x1="${x(reference)}" x2="${x(reference)}" y1="16" y2="52" class="mark"/><line x1="${x(limit)}" x2="${x(limit)}" y1="16" y2="52" class="onset"/>
<text x="${x(reference)}" y="63" text-anchor="end" class="faint">validation ${percentOf(reference)}</text>
<text x="${x(limit)}" y="12" class="onset-text">tolerated ${percentOf(limit)}</text></svg>`;
}

const round = (value: number): number => Math.round(value * 100) / 100;
const LABEL_MAX = 24;
const short = (text: string): string => (text.length > LABEL_MAX ? `${text.slice(0, LABEL_MAX - 1)}…` : text);
