import { describe, expect, test } from "@jest/globals";
import { someDriftReview, someDriftVerdict } from "@tributary/testing";
import { heatMap, histogram, scaleOf, timeTicks } from "./charts.ts";
import { reportOf } from "./index.ts";

/** Each tag of the page closed in its turn, and nothing fetched from elsewhere. */
function expectSelfContained(page: string): void {
  const open: string[] = [];
  const empty = /^(meta|br|rect|line|circle|polyline|polygon|!doctype)$/;
  for (const [, slash, name = "", rest = ""] of page.matchAll(/<(\/?)([a-z0-9!]+)((?:"[^"]*"|[^">])*)>/gi)) {
    if (slash === "/") expect(open.pop()).toBe(name);
    else if (!empty.test(name) && !rest.endsWith("/")) open.push(name);
  }
  expect(open).toEqual([]);
  expect(page).not.toMatch(/<script|\b(src|href)=|url\(|https?:|NaN|Infinity|undefined|\[object/);
}

describe("the page of a verdict", () => {
  test("shows what changed, where, why, whether frames are lost, and what to do", () => {
    const page = reportOf(someDriftVerdict());
    expectSelfContained(page);
    for (const part of [
      "<h1>2 cameras with lens=acme-2 deliver swapped channels since 00:00</h1>",
      "Camera fault",
      "<dd>2 with evidence, of 2 compared there</dd>",
      "p = 0.0013",
      '<li class="decides"><p class="question">Is it a fault of cameras?',
      "This decides it: camera fault.",
      "Frames are lost: 31 % of 212 labelled random draws are wrong",
      "tolerated 14 %",
      "driver deliver BGR",
      "They have lens=acme-2 in common",
      "Do not retrain for this",
      "channel mean b",
      "<td>cam-2</td><td>front</td><td>2026-01-01 00:00 UTC</td>",
    ])
      expect(page).toContain(part);
  });

  test("has the answer of a person beside what was found, and the advice for the cause that holds", () => {
    const { verdictId: _v, openedAt: _o, found: _f, devices: _d, ...review } = someDriftReview({ kind: "CORRECT" });
    const corrected = { ...review, cause: "WORLD", note: "new lamps", offset: 0n } as const;
    const page = reportOf(someDriftVerdict({ review: corrected, retrain: true }));
    expectSelfContained(page);
    for (const part of [
      '<span class="badge cause">The world changed</span>',
      '<span class="badge">corrected</span>',
      "<dd>cause corrected to WORLD by ann: new lamps (2026-01-01 00:25 UTC, to version 3)</dd>",
      "<dd>CAMERA: channels swapped</dd>",
      "This decides it: camera fault.",
      "Retrain with labelled frames",
    ])
      expect(page).toContain(part);
    const known = { ...corrected, kind: "KNOWN", until: Date.UTC(2026, 1, 1), offset: 1n } as const;
    expect(reportOf(someDriftVerdict({ review: known }))).toContain(
      "Nothing while it is known to ann until 2026-02-01T00:00:00.000Z: new lamps. After that:",
    );
    const endless = { ...known, until: 1e300 };
    expect(reportOf(someDriftVerdict({ review: endless }))).toContain("until an unknown date");
  });

  test("escapes what devices and operators write", () => {
    const evil = '"><script>alert(1)</script>';
    const page = reportOf(
      someDriftVerdict({
        summary: evil,
        fault: evil,
        review: {
          ...{ reviewId: "", kind: "CORRECT", by: evil, reviewedAt: 0, version: 1n, cause: "CAMERA", fault: evil },
          ...{ until: null, note: evil, offset: 0n },
        },
        scopeValue: evil,
        modelName: evil,
        devices: [{ deviceId: evil, cameras: [evil], since: 0 }],
        mix: { [evil]: { before: 0, now: 1 } },
        steps: [{ question: evil, answer: evil, isCause: true }],
      }),
    );
    expectSelfContained(page);
    expect(page).toContain("&#60;script&#62;");
  });

  test("is whole without a timeline, features, labels or devices, and with numbers that are none", () => {
    const loss = { state: "NO_DATA", draws: 0, errorRate: null, reference: 0.1, tolerance: 0.02 } as const;
    const empty = { features: [], timeline: [], mix: {}, steps: [], devices: [], summary: "", pValue: null, loss };
    const page = reportOf(someDriftVerdict({ ...empty, cause: "PREPROCESSING", fault: "", scopeKey: "fleet" }));
    expectSelfContained(page);
    expect(page).toContain("<h1>Preprocessing fault: the whole fleet</h1>");
    const { features, timeline } = someDriftVerdict();
    const broken = features.map((one) => ({ ...one, now: Number.NaN, current: [Number.NaN, 1] }));
    expectSelfContained(
      reportOf(someDriftVerdict({ features: broken, timeline: [...timeline, { at: 9e15, shifts: [] }] })),
    );
  });

  test("lists the first devices and folds the rest", () => {
    const devices = Array.from({ length: 1_000 }, (_, i) => ({ deviceId: `cam-${i}`, cameras: [], since: 0 }));
    const page = reportOf(someDriftVerdict({ devices, devicesAffected: 1_200 }));
    expect(page).toContain("<summary>988 more</summary>");
    expect(page).toContain("200 more are not listed.");
  });
});

describe("the heat map", () => {
  const { features, timeline, since } = someDriftVerdict();
  const rects = (svg: string) =>
    [
      ...svg.matchAll(
        /<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" class="(up|down)" fill-opacity="([\d.]+)"/g,
      ),
    ].map(([, x, y, width, height, kind, opacity]) => ({
      x: Number(x),
      y: Number(y),
      width: Number(width),
      height: Number(height),
      kind,
      opacity: Number(opacity),
    }));

  test("draws a feature a row and a span a column, in the colour of its sign, within the picture", () => {
    const [map = ""] = heatMap(features, timeline, since).text.split("</svg>");
    const cells = rects(map);
    const first = cells.filter(({ y }) => y === 26);
    const after = first.filter(({ opacity }) => opacity > 0.9);
    expect(after).toHaveLength(15);
    expect(after.every(({ kind }) => kind === "up")).toBe(true);
    expect(cells.filter(({ y, opacity }) => y === 50 && opacity > 0.7).every(({ kind }) => kind === "down")).toBe(true);
    // 700 px are 30 minutes; the onset is in the middle of them.
    expect(after[0]).toMatchObject({ x: 540, height: 22 });
    expect(after[0]?.width).toBeCloseTo(23.33, 1);
    expect(map).toContain('<line x1="540" x2="540" y1="18" y2="122" class="onset"/>');
    for (const { x, width, y, height } of cells) {
      expect(x).toBeGreaterThanOrEqual(190);
      expect(x + width).toBeLessThanOrEqual(890.5);
      expect(y + height).toBeLessThanOrEqual(26 + 4 * 24);
    }
  });

  test("leaves a gap where nothing is known", () => {
    const holes = timeline.filter((_, i) => i < 16 || i > 25);
    const cells = rects(heatMap(features, holes, since).text.split("</svg>")[0] ?? "").filter(({ y }) => y === 26);
    expect(Math.max(...cells.map(({ width }) => width))).toBeLessThan(3 * 23.4);
  });

  test("has a scale that no small shift fills", () => {
    expect([scaleOf([0.01, -0.02]), scaleOf([0.1, -0.3]), scaleOf([Number.NaN])]).toEqual([0.05, 0.3, 0.05]);
  });
});

test("ticks of time are whole and few, and name the day where it begins", () => {
  const from = Date.UTC(2026, 10, 27, 22, 10);
  expect(timeTicks(from, from + 5 * 3_600_000, 7).map(({ text }) => text)).toEqual([
    "27 Nov 23:00",
    "28 Nov 00:00",
    "01:00",
    "02:00",
    "03:00",
  ]);
  expect(timeTicks(from, from + 20 * 86_400_000, 7).map(({ text }) => text)).toEqual(["3 Dec", "10 Dec", "17 Dec"]);
});

test("a histogram has a bar and a step a bin, and its highest touches the top", () => {
  const bins = (share: number) => Array.from({ length: 32 }, (_, i) => (i === 4 ? share : 0.01));
  const { text } = histogram({
    feature: "x",
    before: 0,
    now: 0,
    alarms: 0,
    logEvidence: 0,
    reference: bins(0.2),
    current: bins(0.1),
  });
  expect(text.match(/class="before"/g)).toHaveLength(32);
  expect(text).toContain('y="6" width="8.38" height="86" class="before"');
  expect(text).toContain("37.5,49 46.88,49");
  expect(text).toContain("highest bar 20 %");
});
