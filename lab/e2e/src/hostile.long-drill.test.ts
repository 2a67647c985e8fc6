/** One hostile device beside benign ones; the short run of `chaos hostile`. */
import { expect, test } from "@jest/globals";
import { hostile } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

test("a device that floods the priority lane takes nothing from the others, and is named", async () => {
  const dir = tempDir("hostile");
  try {
    const choices = { ways: ["priority"] };
    const findings = await hostile.run({ dir: dir.path, options: { seconds: 4 }, choices, log: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      // How long a PUBACK takes is measured by the whole program, on a quiet machine, and no test.
      checks
        .filter(({ name, passed }) => !passed && !name.includes("PUBACK"))
        .map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
  } finally {
    dir.remove();
  }
});
