/** cleanlab, by the authors of confident learning: it counts the same joint and names the same items. */
import { execFileSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { python } from "../../../../tools/peers.mjs";
import { noisy } from "./confident.test-kit.ts";
import { confidentLabels } from "./index.ts";

const PROGRAM = `
import json, sys
import numpy as np
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues
given = json.load(sys.stdin)
labels, shares = np.array(given["labels"]), np.array(given["probabilities"])
joint = compute_confident_joint(labels, shares, calibrate=True)
issues = find_label_issues(labels, shares, filter_by="confident_learning")
print(json.dumps({"joint": joint.tolist(), "suspects": np.flatnonzero(issues).tolist()}))
`;

test.each([
  [1, 0, 4],
  [2, 0.1, 4],
  [3, 0.3, 2],
  [4, 0.45, 10],
])("seed %i, %d wrong, %i classes: the same joint and suspects", (seed, wrong, classes) => {
  const { labels, probabilities } = noisy(seed, wrong, 500, classes);
  const input = JSON.stringify({ labels, probabilities });
  const theirs = JSON.parse(execFileSync(python("cleanlab"), ["-c", PROGRAM], { input, encoding: "utf8" }));
  const own = confidentLabels(labels, probabilities, classes);
  // Theirs is rounded to whole items, row by row.
  for (const [label, row] of own.joint.entries()) {
    for (const [of, count] of row.entries()) expect(Math.abs(count - theirs.joint[label][of])).toBeLessThanOrEqual(1);
  }
  expect(own.suspects).toEqual(theirs.suspects);
});
