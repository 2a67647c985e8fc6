import { expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { readOutages } from "./outages.ts";
import type { PartitionExtent, ProgressReader } from "./progress.ts";
import { tributaryTopics } from "./tributary-topics.ts";

const MIB = 1_024 * 1_024;
const DEVICE = 8 * MIB;
const [frames, predictions] = [topics.frames.name, topics.predictions.name];

/** A cluster with the default sizes. `committed`: of routers. */
const clusterOf = (extents: PartitionExtent[], committed: Record<string, bigint>, since: Record<string, bigint>) =>
  ({
    retention: async (names) =>
      new Map(
        tributaryTopics()
          .filter(({ name }) => names.includes(name))
          .map(({ name, config }) => [
            name,
            { bytes: Number(config?.["retention.bytes"]), ms: Number(config?.["retention.ms"]) },
          ]),
      ),
    extents: async () => extents,
    offsetsAt: async () => new Map(Object.entries(since)),
    committed: async (group) => new Map(group === "router" ? Object.entries(committed) : []),
    close: async () => {},
  }) satisfies ProgressReader;

const extent = (topic: string, end: number, bytes: number): PartitionExtent => ({
  topic,
  partition: 0,
  start: 0n,
  end: BigInt(end),
  bytes,
});

test("an outage may be as long as the free part of retention lasts, at the current rate and with one more device at its limit", async () => {
  const cluster = clusterOf(
    [extent(predictions, 2_000, 100 * MIB), extent(frames, 1_000, 60 * MIB)],
    { [`${predictions}:0`]: 1_000n, [`${frames}:0`]: 1_000n },
    { [`${frames}:0`]: 0n },
  );
  const [ofPredictions, ofFrames, ...others] = await readOutages(cluster, 1e12, DEVICE);
  expect(others).toEqual([]); // groups that never committed, and topics that are not there
  const roomOf = (name: string) => Number(tributaryTopics().find((t) => t.name === name)?.config?.["retention.bytes"]);
  // No prediction came in the last ten minutes: time alone deletes.
  expect(ofPredictions).toMatchObject({
    group: "router",
    topic: predictions,
    currentMs: topics.predictions.retentionMs,
  });
  expect(ofPredictions?.permittedMs).toBeCloseTo(((roomOf(predictions) - 50 * MIB) / DEVICE) * 1_000, 3);
  expect(ofFrames?.bytesPerSecond).toBeCloseTo(0.1 * MIB, 3);
  expect(ofFrames?.currentMs).toBeCloseTo((roomOf(frames) / (0.1 * MIB)) * 1_000, 3);
  expect(ofFrames?.permittedMs).toBeCloseTo((roomOf(frames) / (8.1 * MIB)) * 1_000, 3);
});

test("a group that is behind by all that is kept may not be away at all", async () => {
  const room = 300 * MIB;
  const cluster = clusterOf([extent(predictions, 1_000, room)], { [`${frames}:0`]: 1n }, { [`${predictions}:0`]: 0n });
  const [outage] = await readOutages(cluster, 1e12, DEVICE);
  expect(outage).toMatchObject({ topic: predictions, currentMs: 0, permittedMs: 0 });
});
