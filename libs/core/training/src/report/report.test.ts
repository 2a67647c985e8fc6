import { describe, expect, test } from "@jest/globals";
import { someDataset, someTrainingRun } from "@tributary/testing";
import { shownFrames } from "./contact-sheet.ts";
import { type PicturedFrame, type ReportInput, reportOf, trainingEvidenceOf } from "./index.ts";

/** Each tag of the page closed in its turn, nothing run, and nothing fetched but pictures of this gateway. */
function expectSafe(page: string): void {
  const open: string[] = [];
  const empty = /^(meta|br|rect|line|circle|polyline|img|!doctype)$/;
  for (const [, slash, name = "", rest = ""] of page.matchAll(/<(\/?)([a-z0-9!]+)((?:"[^"]*"|[^">])*)>/gi)) {
    if (slash === "/") expect(open.pop()).toBe(name);
    else if (!empty.test(name) && !rest.endsWith("/")) open.push(name);
  }
  expect(open).toEqual([]);
  expect(page).not.toMatch(/<script|url\(|https?:|NaN|Infinity|undefined|\[object/);
  for (const [, path] of page.matchAll(/\b(?:src|href)="([^"]*)"/g)) expect(path).toMatch(/^\/api\/v1\//);
}

const frame = (i: number, change: Partial<PicturedFrame> = {}): PicturedFrame => ({
  frameId: `cam-1:5:front:${i}`,
  label: i % 2 === 0 ? "cat" : "frog",
  labelSource: "PERSON",
  split: "TRAIN",
  isDrawn: i % 4 < 2,
  ...change,
});
const result = {
  blend: 0.8,
  blends: [
    { blend: 0.2, slice: 0.72, base: 0.875 },
    { blend: 0.8, slice: 0.81, base: 0.872 },
    { blend: 1, slice: 0.82, base: 0.861 },
  ],
  accuracies: [
    {
      slice: "site=north",
      split: "TUNE",
      frames: 75,
      before: 0.7,
      after: 0.81,
      classes: { frog: { frames: 40, before: 0.8, after: 0.75 } },
    },
  ],
  cpuSeconds: 76.2,
  notes: ["Weights of 22 layers"],
};
const inputOf = (change: Partial<ReportInput> = {}): ReportInput => ({
  run: someTrainingRun({ phase: "ROLLOUT", candidateVersion: "1.1.0-3f2a", evidence: JSON.stringify({ result }) }),
  events: [
    { runId: "3f2a", version: 1n, at: 1e12, by: "trainer", model: "edge", kind: "REQUESTED", details: "{}" },
    { runId: "3f2a", version: 2n, at: 1e12, by: "trainer", model: "edge", kind: "LABELS_COMPLETE", details: "{}" },
  ],
  dataset: someDataset(),
  chosen: Array.from({ length: 200 }, (_, i) => frame(i)),
  gate: { passed: false, failed: [], unsure: ["slice base: 3,100 frames would decide"], forcedBy: "" },
  rollout: { uid: "r-1", phase: "Progressing", message: "canary" },
  imageOf: (frameId) => `/api/v1/frames/${encodeURIComponent(frameId)}/image`,
  ...change,
});

describe("the page of a training", () => {
  test("shows what was chosen, accuracies before and after, the blend, the gate, and the cost", () => {
    const page = reportOf(inputOf());
    expectSafe(page);
    for (const part of [
      "<h1>Training of edge: site=north</h1>",
      "drift that loses frames",
      '<td>70.0 %</td><td>81.0 %</td><td class="gain">+11.0 points</td>',
      '<td>80.0 %</td><td>75.0 %</td><td class="loss">−5.0 points</td>',
      '<tr class="chosen-row"><td>0.8 (chosen)</td>',
      "slice base: 3,100 frames would decide",
      "It is unsure: a person decides.",
      "200 frames of the slice are in the dataset, 100 of them drawn at random",
      "near-duplicate 31",
      "0123456789abcdef0123456789abcdef.dir",
      "<td>76 s</td>",
      '<a href="/api/v1/rollouts/r-1/report">r-1</a>: Progressing, canary',
      "<td>labels complete</td>",
    ])
      expect(page).toContain(part);
    expect(page.match(/<img /g)).toHaveLength(48);
  });

  test("escapes what devices, people and backends write", () => {
    const evil = '"><script>alert(1)</script>';
    const evidence = { result: { ...result, notes: [evil], accuracies: [{ ...result.accuracies[0], slice: evil }] } };
    const run = someTrainingRun({
      model: evil,
      reason: evil,
      message: evil,
      jobId: evil,
      evidence: JSON.stringify(evidence),
    });
    const page = reportOf(
      inputOf({
        run,
        chosen: [frame(0, { frameId: evil, label: evil, labelSource: evil, split: evil })],
        dataset: someDataset({ leftOut: { [evil]: 1 }, baseVersion: evil }),
        gate: { passed: true, failed: [evil], unsure: [evil], forcedBy: evil },
        rollout: { uid: evil, phase: evil, message: evil },
      }),
    );
    expectSafe(page);
    expect(page).toContain("&#60;script&#62;");
  });

  test("is whole for a training that has nothing yet, and for evidence that is malformed", () => {
    const nothing = { events: [], dataset: null, chosen: [], gate: null, rollout: null };
    const malformed = ["", "[]", "{", '{"result":{"blends":[{"blend":"x"}],"accuracies":[7],"cpuSeconds":null}}'];
    for (const evidence of malformed) {
      expectSafe(reportOf(inputOf({ ...nothing, run: someTrainingRun({ evidence }) })));
      expect(trainingEvidenceOf(evidence)).toMatchObject({ blends: [], accuracies: [], notes: [] });
    }
  });
});

test("pictures show each class in its turn, drawn ones first, within their bound", () => {
  const frames = [...Array.from({ length: 50 }, (_, i) => frame(i, { label: "cat" })), frame(99, { label: "frog" })];
  const shown = shownFrames(frames, 10);
  expect(shown.map(({ label }) => label).filter((label) => label === "frog")).toHaveLength(1);
  expect(shown.every(({ isDrawn, label }) => isDrawn || label === "frog")).toBe(true);
  expect(shownFrames(frames, 100)).toHaveLength(51);
});
