import { describe, expect, test } from "@jest/globals";
import { eventsOf, experimentOf, model, START, unbounded, unflipped } from "../experiment/experiment.test-kit.ts";
import type { ExperimentEvidence } from "../experiment/index.ts";
import { experimentReportOf } from "./index.ts";
import { expectSelfContained } from "./page.test-kit.ts";

const HOUR = 3_600_000;
const now = START + 30 * HOUR;
const slow = { correct: 0.05, escalated: 0.2, late: 0.06 };
const good = { ...slow, late: 0 };
const small = { correct: 0.015, escalated: 0.01 };

const shown = (live: ExperimentEvidence | null = null) => ({ model, live, now });
/** As it stands on a topic. */
const written = <T>(value: T): T => JSON.parse(JSON.stringify(value));

/** Text of the cells of the table's row that begins so. */
const rowOf = (page: string, name: string): readonly string[] => {
  const row = page.split("\n").find((line) => line.includes(`<tr><td>${name}</td>`)) ?? "";
  return [...row.matchAll(/<td>(.*?)<\/td>/g)].slice(1).map(([, text = ""]) => text);
};

describe("the report of an experiment", () => {
  test("that was rejected gives the verdict and its reason, each arm's figures, and the evidence beside what was needed", () => {
    const one = experimentOf({ hybrid: slow, "edge-heavy": { correct: -0.02 } });
    const page = experimentReportOf(eventsOf(one, { verdict: "reject" }), shown());
    expectSelfContained(page);
    for (const part of [
      "<title>Experiment is-the-cloud-worth-it: Decided: reject</title>",
      "Rejected: arm hybrid is late too often; arm edge-heavy is worth 0.2 EUR less per 1,000 frames",
      "edge-only stays.",
      "As devices of all arms have shown.",
      "Look at this decision again by 2026-04-01 00:00:00 UTC, in 89 days, or when the edge model changes.",
      "edge 2 (cdcdcdcdcdcd)",
      "<th>edge-only (control)</th><th>hybrid</th><th>edge-heavy</th>",
      "deadline 2,000 ms",
      "hybrid, calls 1.5",
      "margin 0.5",
      "<b>hybrid</b>: Late answers rise by 6 points (band 5.8",
      "needed 4.38", // ln (2 · 2 / 0.05)
      "reject: worse, or too late",
      "<td>spec.duration</td><td>3d</td><td>6d</td>",
      "Created with 120 devices: 40 in edge-only, 40 in hybrid, 40 in edge-heavy.",
      "Decided: reject: as devices of all arms have shown.",
    ])
      expect(page).toContain(part);
    expect(rowOf(page, "accuracy")).toEqual(["88 %", "93 %", "86 %"]);
    expect(rowOf(page, "late")).toEqual(["0.3 %", "6.3 %", "0.3 %"]);
    expect(rowOf(page, "frames")).toEqual(["200,000", "200,000", "200,000"]);
    expect(rowOf(page, "p50 / p99, deadline 2,000 ms")).toEqual([
      "40 / 1,480 ms",
      "40 / 2,310 ms, too late",
      "40 / 1,480 ms",
    ]);
    expect(rowOf(page, "worth of 1,000 frames (EUR)")).toEqual(["8.72", "8.52", "8.52"]);
    expect(page.match(/<svg/g)).toHaveLength(7); // frontier, worth, three lanes, evidence of two arms
  });

  test("that was adopted states the gain, and what would flip it, in words and as a grid", () => {
    const one = experimentOf({ hybrid: good });
    const page = experimentReportOf(eventsOf(one, { verdict: "adopt", winner: "hybrid" }), shown());
    expectSelfContained(page);
    expect(page).toMatch(/Adopt hybrid: worth 0\.4 EUR more per 1,000 frames \(band 0\.2\d+ to 0\.5\d+\)\./);
    expect(page).toContain("<li>if a cloud call costs 0.0025 EUR instead of 0.0005</li>");
    const cells = [...page.matchAll(/<td class="((?:arm|control)[a-z ]*)">([^<]*)<\/td>/g)].map(([, c, text]) => [
      c,
      text,
    ]);
    expect(cells).toHaveLength(36);
    expect(cells.filter(([name]) => name?.includes("own"))).toEqual([["arm clear own", "+0.4 ✓"]]);
    // A right answer is worth nothing, so calls and late answers alone decide.
    expect(cells[0]).toEqual(["control clear", "−0.1 ✓"]);
    const later = { ...shown(), now: START + 91 * 24 * HOUR };
    const due = experimentReportOf(eventsOf(one, { verdict: "adopt", winner: "hybrid" }), later);
    expect(due).toContain("This decision was to be looked at again by 2026-04-01");
  });

  test("that runs has the last look's evidence and what is missing, also of an arm that is not compared yet", () => {
    const one = experimentOf({ hybrid: small, "edge-heavy": { isUnlabelled: true } }, 2);
    const page = experimentReportOf(eventsOf(one, null), shown(written(unflipped(one.evidence))));
    expectSelfContained(page);
    for (const part of [
      "No verdict yet.",
      "<b>hybrid</b>: Worth 0.145 EUR more per 1,000 frames",
      "<b>edge-heavy</b>: No frame of edge-heavy has a label yet.",
      "If it is undecided on 2026-01-04 00:00:00 UTC, in 42 h, it is held for a person.",
      "as of 2026-01-01 02:00:00 UTC",
      "<th>to show that it is better, or worse</th><th>to show that it is the same</th>",
      "it is computed when the experiment is decided",
    ])
      expect(page).toContain(part);
    expect(page).toMatch(/<td>hybrid<\/td><td>about \d+ h more, or [\d.]+ times the devices<\/td>/);
    expect(rowOf(page, "accuracy")).toEqual(["88 %", "89.5 %", "-"]);
    expect(page.match(/<svg/g)).toHaveLength(6);
  });

  test("in its first minutes draws bands without bounds to the edges, and no picture without numbers", () => {
    const one = experimentOf({ hybrid: small }, 2);
    const evidence = unbounded(one.evidence);
    for (const live of [evidence, written(evidence)]) {
      const page = experimentReportOf(eventsOf(one, null), shown(live));
      expectSelfContained(page);
      expect(page).toContain("(no bound yet)");
    }
    const blank = { correct: null, escalated: null, late: null };
    const arms = evidence.arms.map((arm) => ({ ...arm, comparison: null, rates: blank, utility: null, latency: null }));
    const page = experimentReportOf(eventsOf(one, null), shown({ ...evidence, arms }));
    expectSelfContained(page);
    expect(page).toContain("No arm has answers and labels yet.");
    expect(page).toContain("No frame of hybrid has an answer yet.");
    expect(page).not.toContain("<svg");
  });

  test("without evidence states it, whether it runs or was stopped", () => {
    const one = experimentOf({ hybrid: good });
    const page = experimentReportOf(eventsOf(one, null), shown());
    expectSelfContained(page);
    expect(page).toContain("Nothing is measured yet.");
    expect(rowOf(page, "hybrid")).toEqual(["1e1e1e1e1e1e", "40"]);
    const stopped = experimentReportOf(eventsOf(one, { stopped: "ann needs the devices" }), shown());
    expectSelfContained(stopped);
    expect(stopped).toContain("Stopped by a person, without a verdict.");
    expect(stopped).toContain("Stopped: ann needs the devices.");
  });

  test("warns of devices that do not report as assigned, and names those that are elsewhere", () => {
    const { evidence, ...one } = experimentOf({ hybrid: small }, 2);
    const arms = evidence.arms.map((arm, i) => (i === 1 ? { ...arm, elsewhere: ["cam-<1>"] } : arm));
    const sampleRatio = { log: 7.1, logNeeded: 4.6, isMismatch: true };
    const page = experimentReportOf(eventsOf({ ...one, evidence }, null), shown({ ...evidence, arms, sampleRatio }));
    expectSelfContained(page);
    expect(page).toContain("<b>No</b> (ln e 7.1, and 4.6 is the alarm)");
    expect(page).toContain("<td>hybrid</td><td>cam-&#60;1&#62;</td>");
  });

  test("shows what others wrote, whatever it is, as text", () => {
    const [first] = eventsOf(experimentOf({ hybrid: good }), null);
    const events = eventsOf(experimentOf({ hybrid: good }), { stopped: '<img src=x onerror="x">' });
    const page = experimentReportOf(
      events.map((event) => ({ ...event, by: "<i>ann</i>", uid: first?.uid ?? "" })),
      { ...shown(), model: { digest: "", name: "<b>", version: null } },
    );
    expect(page).not.toMatch(/<img|<i>|Edge model<\/dt><dd><b>/);
    expect(page).toContain("&#60;img");
    const evidence = { ...experimentOf({ hybrid: small }, 2).evidence, why: "<u>", currency: "<s>" };
    const arms = evidence.arms.map((arm) => ({ ...arm, name: `${arm.name}<em>`, policyVersion: "<tt>" }));
    const live = experimentReportOf(eventsOf(experimentOf({ hybrid: small }, 2), null), shown({ ...evidence, arms }));
    expectSelfContained(live);
    expect(live).not.toMatch(/<(u|s|em|tt)>/);
  });

  test("of a history without its first event is an error", () => {
    const [, ended] = eventsOf(experimentOf({ hybrid: good }), { verdict: "hold" });
    expect(() => experimentReportOf(ended === undefined ? [] : [ended], shown())).toThrow(/without its first event/);
  });
});
