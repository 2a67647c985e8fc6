/** G1, G2, G12: processes stopped beyond their session, and networks cut as long; the short run of `chaos pauses`. */
import { expect, test } from "@jest/globals";
import { pauses } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

test("a router stopped, a network cut: every frame is answered, none in two ways", async () => {
  const dir = tempDir("pauses");
  try {
    const options = { pauses: 2, partitions: 8, rate: 200 };
    const findings = await pauses.run({ dir: dir.path, options, log: () => {} });
    // How soon the lag is gone depends on the machine: the whole program checks it on a quiet one.
    const ofAnyMachine = findings.flatMap(({ checks }) => checks).filter(({ name }) => !name.startsWith("no lag"));
    const failed = ofAnyMachine.filter(({ passed }) => !passed);
    expect(failed).toEqual([]);
    expect(findings[0]?.figures.sent).toBeGreaterThan(250);
  } finally {
    dir.remove();
  }
}, 480_000);
