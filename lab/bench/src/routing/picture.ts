/** The frontier as SVG: share of frames sent against share of the cloud's gain kept. */
import { gainShare } from "@tributary/routing";
import type { FrontierPoint, Method } from "./frontier.ts";
import type { TestFrame } from "./judged.ts";

const WIDTH = 720;
const HEIGHT = 460;
const LEFT = 64;
const TOP = 44;
const RIGHT = 24;
const BOTTOM = 56;
const SHARE_MAX = 0.6;
/** Colour-blind safe (Okabe & Ito). */
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];

const x = (share: number) => LEFT + (share / SHARE_MAX) * (WIDTH - LEFT - RIGHT);
const y = (gain: number) => HEIGHT - BOTTOM - gain * (HEIGHT - TOP - BOTTOM);
const at = (share: number, gain: number) => `${x(share).toFixed(1)},${y(gain).toFixed(1)}`;

export function frontierPicture(
  frames: readonly TestFrame[],
  methods: readonly Method[],
  points: readonly FrontierPoint[],
  operating: { readonly share: number; readonly gain: number },
): string {
  const shares = Array.from({ length: 121 }, (_, i) => (i * SHARE_MAX) / 120);
  const lines = methods.map(({ order }, i) => {
    const path = shares.map((share) => at(share, gainShare(frames, order, share))).join(" ");
    const width = i === 0 ? 2.5 : 1.5;
    return `<polyline points="${path}" fill="none" stroke="${COLOURS[i]}" stroke-width="${width}"/>`;
  });
  const bars = points.map(({ share, gains }) => {
    const ours = gains[0];
    if (ours === undefined) return "";
    const { lower, upper } = ours.interval;
    return `<line x1="${x(share)}" x2="${x(share)}" y1="${y(lower).toFixed(1)}" y2="${y(upper).toFixed(1)}" stroke="${COLOURS[0]}" stroke-width="1.5"/><circle cx="${x(share)}" cy="${y(ours.gain).toFixed(1)}" r="4" fill="${COLOURS[0]}"/>`;
  });
  const grid = [0, 0.2, 0.4, 0.6, 0.8, 1].map(
    (gain) =>
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(gain)}" y2="${y(gain)}" stroke="#ddd"/><text x="${LEFT - 8}" y="${y(gain) + 4}" text-anchor="end">${Math.round(gain * 100)} %</text>`,
  );
  const ticks = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6].map(
    (share) =>
      `<text x="${x(share)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${Math.round(share * 100)} %</text>`,
  );
  const legend = methods.map(({ name }, i) => {
    const top = HEIGHT - BOTTOM - 84 + i * 20;
    return `<line x1="${WIDTH - 190}" x2="${WIDTH - 164}" y1="${top}" y2="${top}" stroke="${COLOURS[i]}" stroke-width="2.5"/><text x="${WIDTH - 156}" y="${top + 4}">${name}</text>`;
  });
  const [px, py] = [x(operating.share), y(operating.gain)];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="13" fill="#222">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="15">Share of the cloud's gain kept, on ${frames.length} test photos</text>
${[...grid, ...ticks, ...lines, ...bars, ...legend].join("\n")}
<path d="M${px - 6},${py} L${px},${py - 6} L${px + 6},${py} L${px},${py + 6} Z" fill="#d55e00"/>
<text x="${px + 10}" y="${py + 16}">the frozen policy, whole path</text>
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 12}" text-anchor="middle">share of frames sent</text>
</svg>
`;
}
