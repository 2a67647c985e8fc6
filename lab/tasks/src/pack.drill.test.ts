/** A task's models become packages that load, by the way of `tributary models pack`. */
import { afterAll, expect, test } from "@jest/globals";
import { loadPackage } from "@tributary/model-store";
import { tempDir } from "@tributary/testing";
import { packTask } from "./pack.ts";
import { openTask } from "./tasks.ts";

const dir = tempDir("tasks");
afterAll(() => dir.remove());

test("of two classes, nine to one", async () => {
  const task = await openTask("water");
  const packed = await packTask(task, dir.path, () => {});
  const [edge, cloud] = [await loadPackage(packed.edge), await loadPackage(packed.cloud)];
  expect(edge.labels).toEqual(task.labels);
  const accuracy = edge.manifest.metrics.accuracy ?? 0;
  // Better than the larger class as the only answer.
  expect(accuracy).toBeGreaterThan(task.validation.filter(({ label }) => label === 0).length / task.validation.length);
  expect(cloud.manifest.metrics.accuracy).toBeGreaterThan(accuracy);
});
