/** The simulated frontier as SVG: true accuracy at each share of frames sent, and how far estimates are from it. */
import type { SimulatedPoint, SimulatedRuns } from "./simulated.ts";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [720, 380, 64, 24, 44, 56];

export function simulatedPicture({ points, runs, labelledMean }: SimulatedRuns): string {
  const low = Math.floor(20 * Math.min(...points.map((p) => p.truth - p.halfWidthMean))) / 20;
  const high = Math.ceil(20 * Math.max(...points.map((p) => p.truth + p.halfWidthMean))) / 20;
  const shareMax = Math.max(...points.map(({ share }) => share));
  const x = (share: number) => LEFT + (share / shareMax) * (WIDTH - LEFT - RIGHT);
  const y = (accuracy: number) => TOP + ((high - accuracy) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const along = (some: readonly SimulatedPoint[], of: (point: SimulatedPoint) => number) =>
    some.map((point) => `${x(point.share).toFixed(1)},${y(of(point)).toFixed(1)}`).join(" ");
  const band = `${along(points, (p) => p.truth + p.bias + p.halfWidthMean)} ${along([...points].reverse(), (p) => p.truth + p.bias - p.halfWidthMean)}`;
  const rows = Array.from({ length: 5 }, (_, i) => low + (i * (high - low)) / 4);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="13" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="15">router simulate: mean 95 % interval of ${runs} draws with ${labelledMean.toFixed(0)} labels, around the truth</text>
${rows.map((v) => `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(v)}" y2="${y(v)}" stroke="#ddd"/><text x="${LEFT - 8}" y="${y(v) + 4}" text-anchor="end">${(100 * v).toFixed(1)} %</text>`).join("\n")}
${points.map(({ share }) => `<text x="${x(share)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${Math.round(100 * share)} %</text>`).join("\n")}
<polygon points="${band}" fill="#0072b2" opacity="0.18"/>
<polyline points="${along(points, ({ truth }) => truth)}" fill="none" stroke="#0072b2" stroke-width="2.5"/>
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 14}" text-anchor="middle">share of frames sent; accuracy of the system</text>
</svg>
`;
}

/** Pictures of one width, one below the other. */
export function stacked(pictures: readonly string[]): string {
  let top = 0;
  const placed = pictures.map((picture) => {
    const height = Number(/ height="(\d+)"/.exec(picture)?.[1]);
    const at = picture.replace("<svg ", `<svg y="${top}" `);
    top += height;
    return at;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" width="${WIDTH}" height="${top}">\n${placed.join("")}</svg>\n`;
}
