/** Delays by change and method as SVG, with the false alarms that each method pays for them. */
import type { Delays } from "./delays.ts";

const [LEFT, TOP, ROW, WIDTH] = [150, 64, 26, 420];
const COLOURS = ["#0072b2", "#e69f00", "#d55e00", "#cc79a7", "#999999", "#666666", "#009e73", "#f0c808"];
const TICKS = [1, 3, 10, 30, 100, 240];

export function delayPicture({ methods, changes, falseAlarms }: Delays): string {
  const bottom = TOP + changes.length * ROW;
  const height = bottom + 70 + methods.length * 20;
  const max = TICKS.at(-1) as number;
  const x = (windows: number | null) => LEFT + (Math.log(windows ?? max * 1.5) / Math.log(max * 1.5)) * WIDTH;
  const grid = TICKS.map(
    (tick) =>
      `<line x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="${TOP - 8}" y2="${bottom}" stroke="#ddd"/>` +
      `<text x="${x(tick).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${tick}</text>`,
  );
  const rows = changes.map(({ change, byMethod }, row) => {
    const marks = methods.map((method, m) => {
      const { median = null, p90 = null } = byMethod[method] ?? {};
      const y = TOP + row * ROW + 3 + (m * (ROW - 8)) / methods.length;
      const colour = COLOURS[m % COLOURS.length];
      return (
        `<line x1="${x(median).toFixed(1)}" x2="${x(p90).toFixed(1)}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="1.5"/>` +
        `<circle cx="${x(median).toFixed(1)}" cy="${y}" r="${m === 0 ? 4 : 2.5}" fill="${median === null ? "none" : colour}" stroke="${colour}"/>`
      );
    });
    return `<text x="${LEFT - 10}" y="${TOP + row * ROW + 14}" text-anchor="end">${change}</text>${marks.join("")}`;
  });
  const legend = methods.map((method, m) => {
    const shares = Object.values(falseAlarms[method] ?? {}).map(
      ({ alarms, looked }) => `${((100 * alarms) / looked).toFixed(1)} %`,
    );
    const y = bottom + 50 + m * 20;
    return (
      `<circle cx="${LEFT}" cy="${y - 4}" r="4" fill="${COLOURS[m % COLOURS.length]}"/>` +
      `<text x="${LEFT + 14}" y="${y}">${method.replaceAll("<", "&lt;")}: ${shares.join(" and ")} of clean windows alarm</text>`
    );
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LEFT + WIDTH + 80} ${height}" width="${LEFT + WIDTH + 80}" height="${height}" font-family="sans-serif" font-size="12" fill="#222">
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="24" font-size="15">Windows until a change is detected: median, line to nine tenths; hollow: never</text>
<text x="16" y="42" fill="#666">Below: false alarms where frames are independent, and where scenes last 5 frames</text>
${[...grid, ...rows, ...legend].join("\n")}
</svg>
`;
}
