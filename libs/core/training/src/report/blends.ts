/** How the blend of new and deployed weights was chosen: what the slice gains against what base photos lose. Pure. */
import { type Html, html, nothing } from "@tributary/kernel/html";
import type { TrainingEvidence } from "./evidence.ts";

type Blends = TrainingEvidence["blends"];

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 220, 52, 110, 14, 34];

export function blendSection({ blends, blend }: TrainingEvidence): Html {
  if (blends.length === 0) return nothing;
  const sorted = [...blends].sort((a, b) => a.blend - b.blend);
  const rows = sorted.map(
    (one) =>
      html`<tr${one.blend === blend ? html` class="chosen-row"` : nothing}><td>${one.blend}${one.blend === blend ? " (chosen)" : ""}</td><td>${percent(one.slice)}</td><td>${percent(one.base)}</td></tr>`,
  );
  return html`<section class="card"><h2>Blend</h2>
<p>Share of the new weights; the rest is of the deployed model. Accuracies are on tuning frames, which neither training nor the gate reads.</p>
${plot(sorted, blend)}<table><thead><tr><th>blend</th><th>slice</th><th>base photos</th></tr></thead><tbody>${rows}</tbody></table></section>`;
}

function plot(blends: Blends, chosen: number | undefined): Html {
  if (blends.length < 2) return nothing;
  const values = blends.flatMap(({ slice, base }) => [slice, base]);
  const low = Math.max(0, Math.min(...values) - 0.02);
  const high = Math.min(1, Math.max(...values) + 0.02);
  const x = (blend: number) => LEFT + Math.min(1, Math.max(0, blend)) * (WIDTH - LEFT - RIGHT);
  const y = (accuracy: number) => TOP + ((high - accuracy) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const round = (value: number) => Math.round(value * 100) / 100;
  const line = (of: (one: Blends[number]) => number) =>
    blends.map((one) => `${round(x(one.blend))},${round(y(of(one)))}`).join(" ");
  const dots = (kind: string, of: (one: Blends[number]) => number) =>
    blends.map((one) => html`<circle class="${kind}" cx="${x(one.blend)}" cy="${y(of(one))}" r="3.5"/>`);
  const last = blends.at(-1) as Blends[number];
  const mark =
    chosen === undefined
      ? nothing
      : html`<line class="chosen" x1="${x(chosen)}" x2="${x(chosen)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>`;
  const ticks = blends.map(
    ({ blend }) => html`<text x="${x(blend)}" y="${HEIGHT - 12}" text-anchor="middle" class="faint">${blend}</text>`,
  );
  return html`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Accuracy of slice and base photos by blend">
<rect class="plot" x="${LEFT}" y="${TOP}" width="${WIDTH - LEFT - RIGHT}" height="${HEIGHT - TOP - BOTTOM}"/>
<text x="${LEFT - 6}" y="${TOP + 10}" text-anchor="end" class="faint">${percent(high)}</text><text x="${LEFT - 6}" y="${HEIGHT - BOTTOM}" text-anchor="end" class="faint">${percent(low)}</text>
${mark}<polyline class="slice-line" points="${line(({ slice }) => slice)}"/><polyline class="base-line" points="${line(({ base }) => base)}"/>
${dots("slice-dot", ({ slice }) => slice)}${dots("base-dot", ({ base }) => base)}
${ticks}<text x="${x(last.blend) + 10}" y="${y(last.slice) + 4}">slice</text><text x="${x(last.blend) + 10}" y="${y(last.base) + 4}">base photos</text></svg>`;
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
