/** G5, G6: rollout-managers die, sleep and disagree, and no device notices; the short run of `chaos rollout`. */
import { expect, test } from "@jest/globals";
import { rollout } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

/** At every transition. */
const KILLS = 1;

test("killed at every transition, stopped, and asked for opposite things, two instances tell one story; the control is caught", async () => {
  const dir = tempDir("rollout-kills");
  try {
    const options = { kills: KILLS, seed: 1 };
    const findings = await rollout.run({ dir: dir.path, options, say: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(3 + 8 * KILLS);
  } finally {
    dir.remove();
  }
}, 600_000);
