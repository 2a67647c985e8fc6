import { expect, test } from "@jest/globals";
import { judgeGate } from "@tributary/models/gate";
import { htmlOf } from "./html.ts";

test("the page names a class without frames, and draws no accuracy of it", () => {
  const right = Array.from({ length: 120 }, () => true);
  const model = { right, confidence: right.map(() => 0.99), latenciesMs: [3], megabytes: 110 };
  const input = {
    classes: ["cat", "dog", "emu"],
    labels: right.map((_, i) => i % 2),
    candidate: model,
    champion: model,
    corruptions: [],
    latencyBudgetMs: 50,
    latencySlaMs: null,
    golden: { frames: 16, failed: [] },
  };
  const page = htmlOf(judgeGate(input), input, {
    candidate: "edge 2",
    champion: "edge 1",
    seen: { validationSet: "ab".repeat(32), validationGates: null, sliceFrames: null, sliceGates: null },
  });
  expect(page).toContain("Validation gate: passed");
  expect(page).toContain('<tr class="unsure"><td>class</td><td>emu</td><td>unsure</td><td>no frames</td></tr>');
  expect(page.match(/<text [^>]*>(cat|dog|emu)<\/text>/g)).toHaveLength(2);
});
