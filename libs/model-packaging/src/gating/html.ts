/** The gate's report as one HTML file for people: the lines, and the plots behind them. Needs nothing but a browser. */
import { type GateInput, type GateLine, type GateReport, type Judged, reliability } from "@tributary/models/gate";
import { type Seen, seenText } from "./seen.ts";

export type Titles = {
  readonly candidate: string;
  readonly champion: string;
  readonly seen: Seen;
};

const [OWN, OTHER] = ["#0072b2", "#e69f00"];
const escaped = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

export function htmlOf(report: GateReport, input: GateInput, titles: Titles): string {
  const verdict = report.passed ? "passed" : "failed";
  const rows = report.lines.map(
    ({ kind, name, verdict, found }) =>
      `<tr class="${verdict}"><td>${kind}</td><td>${escaped(name)}</td><td>${verdict}</td><td>${escaped(found)}</td></tr>`,
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Validation gate: ${escaped(titles.candidate)}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% } td, th { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #ddd }
.failed td:nth-child(3) { color: #b00020; font-weight: bold } .unsure td:nth-child(3) { color: #9a6700 }
.passed td:nth-child(3) { color: #1a7f37 } svg { max-width: 100%; margin: .5rem 1rem 1rem 0 } svg text { font: 12px system-ui, sans-serif }
</style>
<h1>Validation gate: ${verdict}</h1>
<p><span style="color:${OWN}">&#9632;</span> candidate ${escaped(titles.candidate)}
<span style="color:${OTHER}">&#9632;</span> champion ${escaped(titles.champion)}<br>
${input.labels.length} frames of ${escaped(seenText(titles.seen))}</p>
<table><tr><th>kind</th><th>line</th><th>verdict</th><th>found</th></tr>
${rows.join("\n")}
</table>
${slicesPart(report.lines.filter(({ kind }) => kind === "slice"))}<h2>Accuracy by class</h2>
${bars(report.lines.filter(({ kind }) => kind === "class"))}
<h2>Accuracy on damaged frames</h2>
${bars(report.lines.filter(({ kind }) => kind === "robustness"))}
${report.untested.map(({ name, why }) => `<p>Not shown: ${escaped(name)}; ${escaped(why)}.</p>`).join("\n")}
<h2>Reliability</h2>
<p>How often a model is right at each stated confidence; bars are exact 95 % intervals, the line is perfect calibration.</p>
${curve(input.candidate, OWN)}${curve(input.champion, OTHER)}
</html>
`;
}

/** Of a candidate that a program trained. */
function slicesPart(lines: readonly GateLine[]): string {
  if (lines.length === 0) return "";
  return `<h2>Accuracy by slice</h2>
<p>A program trained this candidate. It passes only if it is proven not worse on every old slice, by its margin, and better on the
slice that drifted. Old slices with too few frames to prove anything are judged together with base. Of what is neither proven nor
refuted a person decides.</p>
${bars(lines)}
`;
}

function bars(all: readonly GateLine[]): string {
  // One without frames has no accuracy, which is not one of 0.
  const lines = all.filter(({ candidate }) => candidate !== null);
  if (lines.length === 0) return "<p>None.</p>";
  const [left, width, row] = [130, 560, 34];
  const bar = (share: number | null, y: number, colour: string) =>
    `<rect x="${left}" y="${y}" width="${(width * (share ?? 0)).toFixed(1)}" height="11" fill="${colour}"/>` +
    `<text x="${left + width * (share ?? 0) + 6}" y="${y + 10}">${(100 * (share ?? 0)).toFixed(1)} %</text>`;
  const drawn = lines.map(
    ({ name, candidate, champion }, i) =>
      `<text x="${left - 8}" y="${i * row + 20}" text-anchor="end">${escaped(name)}</text>` +
      bar(candidate, i * row + 4, OWN as string) +
      bar(champion, i * row + 17, OTHER as string),
  );
  return `<svg width="${left + width + 70}" height="${lines.length * row + 4}">${drawn.join("")}</svg>`;
}

function curve(judged: Judged, colour: string): string {
  const [size, pad] = [260, 34];
  const x = (share: number) => (pad + share * size).toFixed(1);
  const y = (share: number) => (8 + (1 - share) * size).toFixed(1);
  const grid = [0, 0.5, 1].map(
    (share) =>
      `<line x1="${x(0)}" x2="${x(1)}" y1="${y(share)}" y2="${y(share)}" stroke="#ddd"/>` +
      `<text x="${pad - 6}" y="${Number(y(share)) + 4}" text-anchor="end">${share}</text>` +
      `<text x="${x(share)}" y="${size + 26}" text-anchor="middle">${share}</text>`,
  );
  const points = reliability(judged).map(
    ({ confidence, accuracy, lower, upper }) =>
      `<line x1="${x(confidence)}" x2="${x(confidence)}" y1="${y(lower)}" y2="${y(upper)}" stroke="${colour}"/>` +
      `<circle cx="${x(confidence)}" cy="${y(accuracy)}" r="3.5" fill="${colour}"/>`,
  );
  const diagonal = `<line x1="${x(0)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}" stroke="#999" stroke-dasharray="4"/>`;
  return `<svg width="${size + pad + 20}" height="${size + 34}">${[...grid, diagonal, ...points].join("")}</svg>`;
}
