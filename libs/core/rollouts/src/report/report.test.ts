import { describe, expect, test } from "@jest/globals";
import { type RolloutChange } from "../events.ts";
import { rolloutSpec } from "../spec.ts";
import { reportOf } from "./index.ts";
import { expectSelfContained } from "./page.test-kit.ts";
import { eventsOf, judged, packages, spec, written } from "./rollout.test-kit.ts";
import { changedSettings } from "./settings.ts";
import { Plot, rangeOf, ticks } from "./svg.ts";

const pageOf = (one: ReturnType<typeof judged>) =>
  reportOf(eventsOf(one), { ...packages, live: one.verdict === "Running" ? one.evidence : null });

describe("the report of a rollout", () => {
  test("that was rolled back gives the reason, shows the evidence beside what was needed, and each event", () => {
    const one = judged(1, 0.03, 180);
    const page = pageOf(one);
    expect(one.verdict).toBe("Failed");
    expectSelfContained(page);
    for (const part of [
      "Rolled back: the analysis failed: worse in accuracy.",
      "Degraded, rolled back",
      "edge 2 (cdcdcdcdcdcd)",
      "needs 3.91", // ln 1/0.02
      "tolerated 0.25: above is harm",
      "margin 2: below is safe",
      "harm (percentage points)",
      "minutes since the arms are compared",
      "The analysis of step 3/4 ends Failed.",
      "cam-77", // silent
      "Re-randomisation at 7m: p 0.004, 0.0067 spent: harm.",
      "<th>p of 999 draws</th><th>spent of 2 %</th>",
      "frame 4: cat, not &#60;dog&#62;",
      "<td>spec.pacing.devicesPerMinute</td><td>60</td><td>600</td>",
      "<td>spec.metrics.accuracy.margin</td><td>0.02</td><td>0.01</td>",
      "Judged beside the whole: 2 segments",
      "<td>class &#60;cat&#62;</td><td>25 %</td><td>8.1</td>",
      "<td>analysis.lookEveryMs</td><td>60000</td><td>30000</td>",
    ])
      expect(page).toContain(part);
    expect(page).toMatch(/>4\.\d+ harm above tolerated</);
    expect(page.match(/<svg/g)).toHaveLength(5); // weight, then harm and evidence of two metrics
  });

  test("that reached everyone, and one that still runs", () => {
    const good = judged(2, -0.004, 180);
    expect(good.verdict).toBe("Successful");
    expectSelfContained(pageOf(good));
    expect(pageOf(good)).toContain("All its devices run the new model.");
    const running = judged(3, 0.012, 12);
    expect(running.verdict).toBe("Running");
    const page = pageOf(running);
    expectSelfContained(page);
    expect(page).toContain(
      "Active at weight 10 %: accuracy -1.2 points (no bound yet): harm of over 2.0 points is not ruled out.",
    );
    expect(page).toContain("last look");
    // An ended analysis that the record still shows is not another one.
    const ended = reportOf(eventsOf(good), { ...packages, live: good.evidence });
    expect(ended.match(/<h2>Analysis/g)).toHaveLength(1);
  });

  test("without data states it, and draws no plot without data", () => {
    const empty = judged(4, 0, 2); // within the burn-in
    const silent = {
      ...empty,
      evidence: { ...empty.evidence, crashes: null, looks: [], refused: { devices: 0, some: [] } },
    };
    const page = reportOf(
      [
        ...eventsOf(silent),
        event(8, { kind: "analysed", step: 2, verdict: "NoData", evidence: silent.evidence }),
        event(9, { kind: "paused", reason: "no-data", untilMs: null, evidence: silent.evidence }),
      ],
      { ...packages, live: null },
    );
    expectSelfContained(page);
    expect(page).toContain("Nothing to compare yet: 20 devices");
    expect(page).toContain("the analysis had no data");
    expect(page.match(/<svg/g)).toHaveLength(1);
    const created = reportOf(eventsOf(silent).slice(0, 1), { ...packages, live: null });
    expectSelfContained(created);
    expect(created).toContain("None yet");
  });

  test("names what people wrote, whatever it is, as text", () => {
    const page = reportOf(
      [...eventsOf(judged(3, 0, 1)), event(8, { kind: "aborted", why: '<img src=x onerror="x">', evidence: {} })],
      { model: { digest: "", name: "<b>", version: null }, stable: packages.stable, live: null },
    );
    expect(page).not.toMatch(/<img|<b>/);
    expect(page).toContain("&#60;img");
  });

  const event = (version: number, change: RolloutChange) => ({
    uid: "0197-edge-2",
    version,
    at: 1_767_230_000_000,
    by: "ann",
    change,
  });
});

describe("settings", () => {
  test("that are the defaults are not listed, a metric is compared with its own default", () => {
    const { metrics: _metrics, pacing: _pacing, ...rest } = written.spec;
    expect(changedSettings(rolloutSpec.parse({ ...written, spec: rest }))).toEqual([]);
    expect(changedSettings(spec).map(({ name }) => name)).toEqual([
      "spec.pacing.devicesPerMinute",
      "spec.metrics.accuracy.margin",
    ]);
    const other = rolloutSpec.parse({
      ...written,
      spec: { ...rest, when: "parked", selector: { sites: ["north"] }, metrics: [{ name: "agreement", alpha: 0.02 }] },
    });
    expect(changedSettings(other)).toEqual([
      { name: "spec.selector.sites", value: '["north"]', default: "none" },
      { name: "spec.when", value: "parked", default: "any" },
      { name: "spec.metrics", value: "agreement", default: "accuracy, deadline-met" },
    ]);
  });
});

describe("a plot", () => {
  test("has round ticks within its range", () => {
    expect(ticks({ from: -0.4, to: 1.1 }, 8)).toEqual([-0.4, -0.2, 0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(ticks({ from: 0, to: 14 }, 7)).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
    expect(ticks({ from: 3, to: 3.0004 }, 4)).toEqual([3, 3.0001, 3.0002, 3.0003, 3.0004]);
    const { from, to } = rangeOf([5]);
    expect([from < 5, to > 5]).toEqual([true, true]);
  });

  test("draws a band without bounds to its edges, and moves labels apart", () => {
    const axis = { from: 0, to: 1, title: "", text: String };
    const plot = new Plot("p", axis, axis, { width: 100, height: 100 });
    plot.band([{ x: 0, low: null, high: null }, { x: 1, low: 0.4, high: 0.6 }], "#000"); // biome-ignore format: one line
    plot.level(0.5, "#000", "one");
    plot.level(0.5, "#000", "two");
    const svg = plot.svg("about");
    expect(svg).not.toMatch(/NaN|Infinity/);
    const single = new Plot("s", axis, axis, { width: 100, height: 100 });
    single.band([{ x: 0.5, low: null, high: 0.6 }], "#123");
    expect(single.svg("about")).toMatch(/<rect [^>]*width="8"[^>]*fill="#123"/);
    const heights = [...svg.matchAll(/y="([\d.]+)" fill="#000">(one|two)/g)].map(([, y]) => Number(y));
    expect(Math.abs((heights[0] as number) - (heights[1] as number))).toBeGreaterThanOrEqual(15);
  });
});
