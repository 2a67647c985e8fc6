/** G5, G6: rollout-managers are killed, paused and in conflict, without effect on devices; the short run of `chaos rollout`.
 *
 * The fleet's simulation (libs/testing) covers kills at the other places. */
import { expect, test } from "@jest/globals";
import { rollout } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const PLACES = ["after-append"];

test("killed at every transition, paused, and with conflicting commands, two instances agree on one history; the control is detected", async () => {
  const dir = tempDir("rollout-kills");
  try {
    const options = { kills: 1, seed: 1 };
    const findings = await rollout.run({ dir: dir.path, options, choices: { places: PLACES }, log: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(3 + 2 * PLACES.length);
  } finally {
    dir.remove();
  }
}, 600_000);
