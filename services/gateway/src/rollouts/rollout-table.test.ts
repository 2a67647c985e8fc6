/** Which record of a rollout stands where several instances wrote some, also after Kafka was restored. */
import { expect, test } from "@jest/globals";
import { generationOf } from "@tributary/rollouts";
import { createTelemetry } from "@tributary/telemetry";
import { someRollout } from "@tributary/testing";
import { RolloutTable, type RolloutTableOptions } from "./rollout-table.ts";

test("an older record changes nothing; a record of an older epoch is older, whatever its version", () => {
  const table = new RolloutTable({
    reader: {},
    search: {},
    naming: () => undefined,
    subscribers: { publish: () => {} },
    recordsMax: 1,
    limits: { rememberedMax: 10, finishedMax: 10, historyBytesMax: 1 },
    telemetry: createTelemetry({ service: "test", level: "silent", defaultMetrics: false }),
  } as unknown as RolloutTableOptions);
  const versionAfter = (version: bigint, epoch: number) => {
    table.stands(someRollout({ version, generation: generationOf(epoch, version) }));
    return table.get("r-1").version;
  };
  expect(versionAfter(9n, 0)).toBe(9);
  expect(versionAfter(8n, 0)).toBe(9);
  expect(versionAfter(2n, 1)).toBe(2);
  expect(versionAfter(10n, 0)).toBe(2);
  expect(versionAfter(3n, 1)).toBe(3);
});
