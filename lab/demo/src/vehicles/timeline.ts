/** A drive as a picture: every answer's latency over time, coloured by its level, above the faults and the levels of the device. */
import { type DriveLog, framesOf, type Promised } from "./account.ts";

const [LEFT, TOP, WIDTH, HEIGHT] = [110, 50, 1_200, 260];
const [STRIP, GAP] = [22, 8];
const MS = { min: 0.5, max: 20_000 } as const;
const TICKS = [1, 10, 100, 1_000, 10_000];
/** Colours that people who see red and green alike can distinguish (Okabe & Ito). */
const COLOURS: Readonly<Record<string, string>> = {
  FULL: "#0072b2",
  LITE: "#e69f00",
  STALE: "#999999",
  CLOUD: "#56b4e9",
  SAFE: "#d55e00",
};
/** One of the points that would cover each other is drawn. */
const CELLS_X = 600;

type Point = { readonly atMs: number; readonly latencyMs: number; readonly level: string };

export function timelineOf(log: DriveLog, promised: Promised, title: string): string {
  const { changes, phases } = log;
  const { deadlineMs } = promised;
  const answers = framesOf(log, promised).flatMap(({ capturedMs, latencyMs, level }): readonly Point[] =>
    level === null ? [] : [{ atMs: capturedMs + latencyMs, latencyMs, level }],
  );
  const endMs = Math.max(1, ...phases.map(({ untilMs }) => untilMs));
  const x = (atMs: number) => LEFT + (atMs / endMs) * WIDTH;
  const clamped = (ms: number) => Math.min(MS.max, Math.max(MS.min, ms));
  const y = (ms: number) => TOP + HEIGHT - (Math.log(clamped(ms) / MS.min) / Math.log(MS.max / MS.min)) * HEIGHT;
  const below = TOP + HEIGHT;
  const faults = phases.filter(({ name }) => !name.startsWith("after: "));
  const shades = faults.map(
    ({ name, fromMs, untilMs }, i) =>
      `<rect x="${x(fromMs)}" y="${TOP}" width="${x(untilMs) - x(fromMs)}" height="${HEIGHT}" fill="${name === "idle" ? "#f4f4f4" : "#fbe9e0"}"/>` +
      `<text x="${x(fromMs) + 2}" y="${TOP - 6 - 14 * (i % 2)}">${escaped(name)}</text>`,
  );
  const grid = TICKS.map(
    (ms) =>
      `<line x1="${LEFT}" x2="${LEFT + WIDTH}" y1="${y(ms)}" y2="${y(ms)}" stroke="#ddd"/>` +
      `<text x="${LEFT - 6}" y="${y(ms) + 4}" text-anchor="end">${ms < 1_000 ? `${ms} ms` : `${ms / 1_000} s`}</text>`,
  );
  const deadline =
    `<line x1="${LEFT}" x2="${LEFT + WIDTH}" y1="${y(deadlineMs)}" y2="${y(deadlineMs)}" stroke="#d55e00" stroke-dasharray="6 3"/>` +
    `<text x="${LEFT + WIDTH + 4}" y="${y(deadlineMs) + 4}" fill="#d55e00">${deadlineMs} ms</text>`;
  const points = thinned(answers, endMs).map(
    ({ atMs, latencyMs, level }) =>
      `<circle cx="${x(atMs).toFixed(1)}" cy="${y(latencyMs).toFixed(1)}" r="1.6" fill="${COLOURS[level] ?? "#222"}"/>`,
  );
  const marks = [{ atMs: 0, to: "FULL", reason: "started" }, ...changes];
  const levels = marks.map(({ atMs, to, reason }, i) => {
    const untilMs = marks[i + 1]?.atMs ?? endMs;
    return `<rect x="${x(atMs)}" y="${below + GAP}" width="${Math.max(1, x(untilMs) - x(atMs))}" height="${STRIP}" fill="${COLOURS[to] ?? "#222"}"><title>${to}: ${escaped(reason)}, from ${(atMs / 1_000).toFixed(1)} s</title></rect>`;
  });
  const seconds = Array.from({ length: 11 }, (_, i) => (endMs / 10) * i).map(
    (atMs) =>
      `<text x="${x(atMs)}" y="${below + GAP + STRIP + 18}" text-anchor="middle">${Math.round(atMs / 1_000)} s</text>`,
  );
  const legend = Object.entries(COLOURS).map(
    ([level, colour], i) =>
      `<rect x="${LEFT + 90 * i}" y="${below + GAP + STRIP + 32}" width="12" height="12" fill="${colour}"/><text x="${LEFT + 18 + 90 * i}" y="${below + GAP + STRIP + 42}">${level}</text>`,
  );
  const [width, height] = [LEFT + WIDTH + 70, below + GAP + STRIP + 60];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11" fill="#222">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="18" font-size="14">${escaped(title)}</text>
${[...shades, ...grid, deadline, ...points, ...levels, ...seconds, ...legend].join("\n")}
<text x="16" y="${below + GAP + 15}">level</text>
</svg>
`;
}

function thinned(answers: readonly Point[], endMs: number): readonly Point[] {
  const seen = new Set<string>();
  return answers.filter(({ atMs, latencyMs, level }) => {
    const cell = `${Math.round((atMs / endMs) * CELLS_X)} ${Math.round(Math.log(Math.max(MS.min, latencyMs)) * 12)} ${level}`;
    if (seen.has(cell)) return false;
    seen.add(cell);
    return true;
  });
}

const escaped = (text: string): string => text.replaceAll(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
