/** G1: Kafka and the bridge are killed together; the short run of `chaos kafka-outage`, with its control. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { kafkaOutage, type Outcome } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const MINUTES = 60_000;

describe("given a running fleet", () => {
  const dir = tempDir("faults");
  afterAll(() => dir.remove());
  const settings = (name: string) => ({ dir: `${dir.path}/${name}`, say: () => {} });

  test(
    "when Kafka is away and the bridge is killed meanwhile, then nothing is lost; acked early, frames are lost",
    async () => {
      const [asItIs, control] = await kafkaOutage.run({ ...kafkaOutage.settings.short, ...settings("outage") });
      expectAll(asItIs, dir.path);
      expectAll(control, dir.path);
      expect(control?.report.lost).toBeGreaterThan(0);
    },
    6 * MINUTES,
  );
});

/** The message shows what was found, not only that something failed, and the ends of the logs, which go with the test. */
function expectAll(outcome: Outcome | undefined, dir: string): void {
  const failed = outcome?.checks.filter(({ passed }) => !passed).map(({ name, found }) => `${name}: ${found}`) ?? [];
  if (failed.length > 0) process.stderr.write(`${failed.join("\n")}\n${logsOf(dir)}\n`);
  expect(failed).toEqual([]);
}

const LINES = 25;

function logsOf(dir: string): string {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".log"))
    .map(
      (file) => `--- ${file}\n${readFileSync(join(dir, file), "utf8").trimEnd().split("\n").slice(-LINES).join("\n")}`,
    )
    .join("\n");
}
