/** G6: rollout-managers are killed, paused and in conflict, without effect on verdicts and policies; the short run of `chaos experiment`. */
import { expect, test } from "@jest/globals";
import { experiment } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const PLACES = ["after-append"];
/** Adopted, rejected, stopped. */
const STORIES = 3;

test("killed at every transition of experiments, paused, and with conflicting creations, two instances come to the same verdicts; the control is detected", async () => {
  const dir = tempDir("experiment-kills");
  try {
    const options = { kills: 1, seed: 1 };
    const findings = await experiment.run({ dir: dir.path, options, choices: { places: PLACES }, log: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(3 + STORIES * PLACES.length);
  } finally {
    dir.remove();
  }
}, 600_000);
