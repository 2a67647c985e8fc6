/** G12: trainers are killed and stopped at every transition, without effect on what they make; `chaos retrain`. */
import { expect, test } from "@jest/globals";
import { retrain } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

test("killed at every transition, and stopped, two trainers make the training of an undisturbed pair, once; the control is detected", async () => {
  const dir = tempDir("retrain-kills");
  try {
    const findings = await retrain.run({ dir: dir.path, options: {}, log: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(6);
  } finally {
    dir.remove();
  }
}, 1_200_000);
