/** G9: no unauthenticated client is accepted, learns a name, or locks a device out; the short run of `chaos strangers`. */
import { expect, test } from "@jest/globals";
import { strangers } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

test("strangers of every class are refused and counted, their twins are not, and a cold bridge takes its fleet back", async () => {
  const dir = tempDir("strangers");
  try {
    const options = { tries: 1_150, samples: 150, silent: 500, herd: 300 };
    const findings = await strangers.run({ dir: dir.path, options, log: () => {} });
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
    expect(findings.length).toBe(2);
  } finally {
    dir.remove();
  }
}, 300_000);
