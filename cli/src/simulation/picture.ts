/** The simulated frontier as SVG: share of frames sent against accuracy, with its 95 % band. */
import type { Simulation, SimulationPoint } from "./simulate.ts";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 400, 64, 24, 40, 52];

/** A way to send frames that is named in the picture. */
export type Mark = { readonly name: string; readonly share: number; readonly accuracy: number };

export function simulationPicture(
  { points, own }: Pick<Simulation, "points" | "own">,
  marks: readonly Mark[] = [],
): string {
  const all = own === null ? points : [...points, own];
  const marked = marks.map(({ accuracy }) => accuracy);
  const low = Math.floor(Math.min(...all.map(({ lower }) => lower), ...marked) * 20) / 20;
  const high = Math.ceil(Math.max(...all.map(({ upper }) => upper), ...marked) * 20) / 20;
  const shareMax = Math.max(0.1, ...[...all, ...marks].map(({ share }) => share));
  const x = (share: number) => LEFT + (share / shareMax) * (WIDTH - LEFT - RIGHT);
  const y = (accuracy: number) => TOP + ((high - accuracy) / Math.max(0.01, high - low)) * (HEIGHT - TOP - BOTTOM);
  const at = (share: number, accuracy: number) => `${x(share).toFixed(1)},${y(accuracy).toFixed(1)}`;
  const edge = (of: (point: SimulationPoint) => number, some: readonly SimulationPoint[]) =>
    some.map((point) => at(point.share, of(point))).join(" ");
  const band = `${edge(({ upper }) => upper, points)} ${edge(({ lower }) => lower, [...points].reverse())}`;
  const rows = Array.from({ length: 6 }, (_, i) => low + (i * (high - low)) / 5);
  const columns = Array.from({ length: 6 }, (_, i) => (i * shareMax) / 5);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="13" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="15">Accuracy at each share of frames sent, estimated from the random sample</text>
${rows.map((v) => `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(v)}" y2="${y(v)}" stroke="#ddd"/><text x="${LEFT - 8}" y="${y(v) + 4}" text-anchor="end">${(100 * v).toFixed(0)} %</text>`).join("\n")}
${columns.map((v) => `<text x="${x(v)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${(100 * v).toFixed(0)} %</text>`).join("\n")}
<polygon points="${band}" fill="#0072b2" opacity="0.18"/>
<polyline points="${edge(({ accuracy }) => accuracy, points)}" fill="none" stroke="#0072b2" stroke-width="2.5"/>
${own === null ? "" : `<circle cx="${x(own.share).toFixed(1)}" cy="${y(own.accuracy).toFixed(1)}" r="5" fill="#d55e00"/><text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end" fill="#d55e00">the policy's own threshold</text>`}
${marks.map(({ name, share, accuracy }) => `<circle cx="${x(share).toFixed(1)}" cy="${y(accuracy).toFixed(1)}" r="5" fill="#009e73"/><text x="${(x(share) + 8).toFixed(1)}" y="${(y(accuracy) - 8).toFixed(1)}">${name}</text>`).join("\n")}
<text x="${LEFT}" y="${HEIGHT - 8}">share of frames sent; band: 95 % intervals</text>
</svg>
`;
}
