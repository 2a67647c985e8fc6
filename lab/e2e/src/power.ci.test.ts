/** G1: acknowledged records survive a power cut; the short run of `chaos power`, with its control. */
import { expect, test } from "@jest/globals";
import { oneBroker } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

test("Kafka's disk loses its power under load: nothing acknowledged is lost; without the flush it is", async () => {
  const dir = tempDir("power");
  const lines: string[] = [];
  try {
    const options = { log: (line: string) => void lines.push(line), seconds: 8, devices: 10, rate: 200 };
    const findings = await Promise.all([
      oneBroker({ ...options, dir: `${dir.path}/flushed` }, true),
      oneBroker({ ...options, dir: `${dir.path}/control` }, false),
    ]);
    const failed = findings.flatMap(({ title, checks }) =>
      checks.filter(({ passed }) => !passed).map(({ name, found }) => `${title}: ${name}: ${found}`),
    );
    expect(failed).toEqual([]);
  } finally {
    dir.remove();
  }
}, 300_000);
