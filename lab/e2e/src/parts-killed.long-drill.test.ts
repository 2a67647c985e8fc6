/** G1, G2, G4: each process killed in turn, a cloud that stays down, and the control of faults.drill.test.ts; short runs of
 * `chaos kill-each`, `dead-classifier` and `kafka-outage`. */
import { afterAll, expect, test } from "@jest/globals";
import { dead, deadClassifier, kafkaOutage, killEach, kills, type Outcome, outage } from "@tributary/chaos";
import { tempDir } from "@tributary/testing";

const MINUTES = 60_000;
const dir = tempDir("parts-killed");
afterAll(() => dir.remove());
const settings = (name: string) => ({ dir: `${dir.path}/${name}`, log: () => {} });
const failuresOf = ({ checks }: Outcome) =>
  checks.filter(({ passed }) => !passed).map(({ name, found }) => `${name}: ${found}`);

test(
  "when each part is killed in turn, then every committed frame has one answer",
  async () => expect(failuresOf(await kills({ ...killEach.settings.short, ...settings("kill-each") }))).toEqual([]),
  4 * MINUTES,
);

test(
  "when the classifier has stopped permanently, then every sent frame is settled as EDGE by its deadline",
  async () => expect(failuresOf(await dead({ ...deadClassifier.settings.short, ...settings("dead") }))).toEqual([]),
  3 * MINUTES,
);

test(
  "when Kafka is away and a bridge that acknowledges too early is killed, then frames are lost",
  async () =>
    expect(failuresOf(await outage({ ...kafkaOutage.settings.short, ...settings("early") }, true))).toEqual([]),
  3 * MINUTES,
);
