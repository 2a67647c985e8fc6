/** G12: drift-monitors are killed and stopped, without effect on what they find out; `chaos drift`. */
import { expect, test } from "@jest/globals";
import { drift } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

test("killed while verdicts open, and stopped, two instances reach the states and verdicts of an undisturbed pair; the control is detected", async () => {
  const dir = tempDir("drift-kills");
  try {
    const findings = await drift.run({ dir: dir.path, options: { seed: 1 }, log: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(2);
  } finally {
    dir.remove();
  }
}, 600_000);
