/** Faults of the whole system: G1, G2 and G4 by the chaos programs' own scenarios, short. Agents are killed in ota.drill, routers
 * in devices.peer; all parts in turn by `chaos kill-each`. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { dead, deadClassifier, kafkaOutage, type Outcome } from "@tributary/chaos";
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

  test(
    "when the classifier is gone for good, then every sent frame is settled as EDGE by its deadline",
    async () => expectAll(await dead({ ...deadClassifier.settings.short, ...settings("dead") }), dir.path),
    3 * MINUTES,
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
