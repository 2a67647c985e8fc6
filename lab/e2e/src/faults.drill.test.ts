/** G1: Kafka and the bridge are killed together; the short run of `chaos kafka-outage`. Its control is among the long drills. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { kafkaOutage, type Outcome, outage } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const MINUTES = 60_000;
const dir = tempDir("faults");
afterAll(() => dir.remove());

test(
  "when Kafka is away and the bridge is killed meanwhile, then nothing is lost",
  async () => expectAll(await outage({ ...kafkaOutage.settings.short, dir: dir.path, log: () => {} }, false), dir.path),
  6 * MINUTES,
);

/** The message shows what was found, not only that something failed, and the ends of the logs, which go with the test. */
function expectAll({ checks }: Outcome, dir: string): void {
  const failed = checks.filter(({ passed }) => !passed).map(({ name, found }) => `${name}: ${found}`);
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
