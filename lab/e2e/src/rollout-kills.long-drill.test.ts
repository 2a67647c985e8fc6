/** G5, G6: rollout-managers die, sleep and disagree, and no device notices; the short run of `chaos rollout`.
 *
 * Deaths at the other places are met by the fleet's simulation (libs/testing). */
import { expect, test } from "@jest/globals";
import { rollout } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const PLACES = ["after-append"];

test("killed at every transition, stopped, and asked for opposite things, two instances tell one story; the control is caught", async () => {
  const dir = tempDir("rollout-kills");
  try {
    const options = { kills: 1, seed: 1 };
    const findings = await rollout.run({ dir: dir.path, options, choices: { places: PLACES }, say: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(3 + 2 * PLACES.length);
  } finally {
    dir.remove();
  }
}, 600_000);
