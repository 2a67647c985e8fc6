/** Each training as a point: what the site regains, and what it costs elsewhere. */
import type { Figures } from "@tributary/demo/retrain";

type Point = { readonly drift: string; readonly variant: string; readonly figures: Figures };
const [LEFT, TOP, WIDTH, HEIGHT] = [70, 60, 480, 300];
const COLOURS: Readonly<Record<string, string>> = { dusk: "#0072b2", defocus: "#d55e00", "class-mix": "#009e73" };
const COST = { min: -0.005, max: 0.01 } as const;
const COST_MAX = 0.005;
const NAME_HEIGHT = 13;
const REGAINED = { min: -0.2, max: 0.8 } as const;

export function retrainPicture(trials: readonly Point[], gains: ReadonlyMap<string, Figures>): string {
  const all = [
    ...trials,
    ...[...gains].map(([drift, figures]) => ({ drift, variant: "one gain per channel", figures })),
  ];
  const clamp = (value: number, { min, max }: { min: number; max: number }) => Math.max(min, Math.min(max, value));
  const x = (cost: number) => LEFT + ((clamp(cost, COST) - COST.min) / (COST.max - COST.min)) * WIDTH;
  const y = (share: number) =>
    TOP + HEIGHT - ((clamp(share, REGAINED) - REGAINED.min) / (REGAINED.max - REGAINED.min)) * HEIGHT;
  const costs = [-0.005, 0, 0.005, 0.01].map(
    (cost) =>
      `<line x1="${x(cost)}" x2="${x(cost)}" y1="${TOP}" y2="${TOP + HEIGHT}" stroke="${cost === COST_MAX ? "#888" : "#ddd"}"/>` +
      `<text x="${x(cost)}" y="${TOP + HEIGHT + 18}" text-anchor="middle">${(100 * cost).toFixed(1)}</text>`,
  );
  const shares = [0, 0.25, 0.5, 0.75].map(
    (share) =>
      `<line x1="${LEFT}" x2="${LEFT + WIDTH}" y1="${y(share)}" y2="${y(share)}" stroke="${share === 0.5 ? "#888" : "#ddd"}"/>` +
      `<text x="${LEFT - 8}" y="${y(share) + 4}" text-anchor="end">${100 * share} %</text>`,
  );
  let below = Number.NEGATIVE_INFINITY;
  const named = all.toSorted((a, b) => b.figures.regained - a.figures.regained);
  const marks = named.map(({ drift, variant, figures: { elsewhere, regained } }) => {
    const [cx, cy] = [x(elsewhere.before - elsewhere.after), y(regained)];
    const colour = COLOURS[drift] ?? "#222";
    const isOwn = variant === "retrained";
    if (!isOwn) below = Math.max(cy + 4, below + NAME_HEIGHT);
    const name = isOwn ? "" : `<text x="${cx + 9}" y="${below}" fill="#666">${variant}, ${drift}</text>`;
    return `<circle cx="${cx}" cy="${cy}" r="5" fill="${isOwn ? colour : "none"}" stroke="${colour}" stroke-width="2"/>${name}`;
  });
  const legend = Object.entries(COLOURS).map(
    ([drift, colour], i) =>
      `<circle cx="${LEFT + 10 + 110 * i}" cy="${TOP - 14}" r="5" fill="${colour}"/><text x="${LEFT + 20 + 110 * i}" y="${TOP - 10}">${drift}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LEFT + WIDTH + 130} ${TOP + HEIGHT + 50}" width="${LEFT + WIDTH + 130}" height="${TOP + HEIGHT + 50}" font-family="sans-serif" font-size="12" fill="#222">
<title>Accuracy regained at a drifted site, by accuracy lost elsewhere</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="24" font-size="15">Share of the lost accuracy that is regained (filled: retrained; hollow: controls)</text>
${[...costs, ...shares, ...legend, ...marks].join("\n")}
<text x="${LEFT + WIDTH / 2}" y="${TOP + HEIGHT + 38}" text-anchor="middle">accuracy lost elsewhere, points</text>
</svg>
`;
}
