/** A hostile device beside benign ones; `chaos hostile`, a part of `npm run test:all`, has every other way. */
import { expect, test } from "@jest/globals";
import { hostile } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

async function failuresOf(ways: readonly string[], seconds: number): Promise<readonly string[]> {
  const dir = tempDir("hostile");
  try {
    const findings = await hostile.run({ dir: dir.path, options: { seconds }, choices: { ways }, log: () => {} });
    return findings.flatMap(({ title, checks }) =>
      // How long a PUBACK takes is measured by the whole program, on a quiet machine, and no test.
      checks
        .filter(({ name, passed }) => !passed && !name.includes("PUBACK"))
        .map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
  } finally {
    dir.remove();
  }
}

test("a device that floods the priority lane takes nothing from the others, and is named", async () => {
  expect(await failuresOf(["priority"], 4)).toEqual([]);
});
