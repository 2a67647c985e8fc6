import { expect, test } from "@jest/globals";
import { QueueWatch } from "./people.ts";

const devices = Array.from({ length: 20 }, (_, i) => ({ deviceId: `good-${i}` }));

async function watched(others: number, rogue: number, disagreements: number): Promise<boolean> {
  const queue = async () => new Map([...devices.map(({ deviceId }) => [deviceId, others / 20] as const), ["r", rogue]]);
  const watch = new QueueWatch({ disagreements, queue }, devices);
  await watch.look("r");
  return watch.checks.every(({ passed }) => passed);
}

test("the others have their places unless a device has more than an equal fleet would leave it", async () => {
  expect(await watched(190, 10, 600)).toBe(true);
  expect(await watched(120, 79, 600)).toBe(false);
});

test("places that nobody else has frames for are free", async () => {
  expect(await watched(60, 140, 60)).toBe(true);
  expect(await watched(40, 160, 60)).toBe(false);
});

test("a queue that nobody looked at is no evidence", () => {
  const queue = async () => new Map<string, number>();
  const [found] = new QueueWatch({ disagreements: 0, queue }, devices).checks;
  expect(found?.passed).toBe(false);
});
