/** G6, G7: a device killed over all of an update starts a model that was published, byte for byte; the short run of `chaos ota`. */
import { expect, test } from "@jest/globals";
import { ota } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const KILLS = 8;

test("killed at many moments of its updates, the agent runs the old or the new model; both controls are caught", async () => {
  const dir = tempDir("ota");
  const lines: string[] = [];
  try {
    const options = { kills: KILLS, seed: 1 };
    const findings = await ota.run({ dir: dir.path, options, log: (line) => void lines.push(line) });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(3);
  } finally {
    dir.remove();
  }
}, 480_000);
