/** Two panels: the share of runs rolled back by each minute, for equal models and for a worse one. */
const COLOURS: Readonly<Record<string, string>> = {
  strict: "#1b9e77",
  production: "#0b5d44",
  "half weight": "#66c2a5",
  "peeked z-test": "#d95f02",
  "Kayenta-like": "#7570b3",
  "Argo-like": "#e7298a",
};
const [WIDTH, HEIGHT, LEFT, TOP, MINUTES] = [380, 240, 50, 40, 360];

type Results = Readonly<Record<string, readonly (number | null)[]>>;

export function pictureOf(equalName: string, equal: Results, worseName: string, worse: Results): string {
  const panels = [panel(`equal (${equalName})`, equal, 0), panel(worseName, worse, WIDTH + 80)];
  const legend = Object.entries(COLOURS).map(
    ([name, colour], i) =>
      `<rect x="${LEFT + i * 150}" y="${TOP + HEIGHT + 44}" width="14" height="4" fill="${colour}"/>` +
      `<text x="${LEFT + 20 + i * 150}" y="${TOP + HEIGHT + 50}">${name}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${2 * WIDTH + 180}" height="${HEIGHT + 120}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
${[...panels, ...legend].join("\n")}
</svg>
`;
}

function panel(title: string, results: Results, shift: number): string {
  const x = (minute: number) => (LEFT + shift + (minute / MINUTES) * WIDTH).toFixed(1);
  const y = (share: number) => (TOP + (1 - share) * HEIGHT).toFixed(1);
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<line x1="${x(0)}" x2="${x(MINUTES)}" y1="${y(share)}" y2="${y(share)}" stroke="#ddd"/>` +
      `<text x="${LEFT + shift - 8}" y="${Number(y(share)) + 4}" text-anchor="end">${100 * share} %</text>`,
  );
  const ticks = [0, 60, 120, 180, 240, 300, 360].map(
    (minute) => `<text x="${x(minute)}" y="${TOP + HEIGHT + 18}" text-anchor="middle">${minute}</text>`,
  );
  const lines = Object.entries(results).map(([name, minutes]) => {
    const at = minutes.filter((minute) => minute !== null).sort((a, b) => a - b);
    const points = at.flatMap((minute, i) => [
      `${x(minute)},${y(i / minutes.length)}`,
      `${x(minute)},${y((i + 1) / minutes.length)}`,
    ]);
    const path = [`${x(0)},${y(0)}`, ...points, `${x(MINUTES)},${y(at.length / minutes.length)}`].join(" ");
    return `<polyline points="${path}" fill="none" stroke="${COLOURS[name] ?? "#666"}" stroke-width="1.8"/>`;
  });
  return [
    `<text x="${LEFT + shift}" y="${TOP - 14}" font-weight="bold">Rolled back by minute: ${title}</text>`,
    ...grid,
    ...ticks,
    ...lines,
  ].join("\n");
}
