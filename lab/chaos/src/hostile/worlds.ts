/** The fleets and bounds that attacks take place in. Bounds that are too large to reach within a minute are scaled. */
import type { startStack } from "@tributary/stack";
import type { Shown } from "./benign-device.ts";

type Settings = NonNullable<Parameters<typeof startStack>[0]["services"]>;

/** Ways of one world share a stack, one after the other. */
export type World = {
  readonly devices: number;
  /** Of the i-th device. */
  shown(i: number): Shown;
  readonly partitions: number;
  readonly services?: Settings;
  /** Of a partition of the devices' topics. */
  readonly retentionBytes?: number;
};

const MIB = 1_024 * 1_024;
const usual: Shown = { keptPerSecond: 4, sentEvery: 1, reason: "AMBIGUOUS" };

export const standard: World = { devices: 20, shown: () => usual, partitions: 8 };

/** Answers in memory are fewer than the frames that people have still to label, and the bound of the frames that are known is a fiftieth. */
export const people: World = {
  devices: 20,
  shown: () => usual,
  partitions: 4,
  services: { gateway: { answers: { recentMax: 200 }, labels: { rangesMax: 10_000 } } },
};

/** The devices are honestly wrong now and then. */
export const disputed: World = {
  devices: 20,
  shown: () => ({ ...usual, disagreesEvery: 2 }),
  partitions: 8,
};

/** The devices want all of the cloud's budget. */
export const scarce: World = {
  devices: 20,
  shown: () => usual,
  partitions: 8,
  services: { router: { budget: { fleetShareMax: 0.205, burstMs: 5_000 } } },
};

const DEGRADED = 8;
/** Of 40; each attack has up to four hostile ones beside them. What the degraded ones ask for is less than the budget for them. */
export const heated: World = {
  devices: 36,
  shown: (i) => ({ keptPerSecond: 1, sentEvery: 2, reason: i < DEGRADED ? "FALLBACK" : "AMBIGUOUS" }),
  partitions: 8,
  services: { router: { budget: { fleetShareMax: 0.5, burstMs: 5_000 } } },
};

/** One device at its permitted rate fills such a disk in seconds. */
export const smallDisk: World = {
  devices: 12,
  shown: () => usual,
  partitions: 2,
  retentionBytes: 4 * MIB,
};
