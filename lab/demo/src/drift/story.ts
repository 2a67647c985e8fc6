/** What happens to one task's fleet at the same time, and the verdicts that must come of it. */
import type { DriftVerdict } from "@tributary/contracts";
import type { ModelPackages, Scene } from "@tributary/stack";
import { settings } from "./settings.ts";

export type Expected = {
  readonly cause: DriftVerdict["cause"];
  readonly scopeKey: string;
  readonly scopeValue: string;
  /** Any of these is a right name; an empty one: that it has none. */
  readonly faults: readonly string[];
};

export type Case = {
  readonly name: string;
  readonly summary: string;
  readonly devices: readonly string[];
  /** Null: no verdict may name any of them. */
  readonly expected: Expected | null;
  /** What their cameras see, one after the other. */
  readonly becomes?: readonly Scene[];
};

/** A device of the fleet, as it is registered. */
export type Member = {
  readonly deviceId: string;
  readonly site: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly case: string;
  /** What its camera sees before anything changes. */
  readonly scene: Scene;
  /** Frames a second. */
  readonly fps: number;
};

export type Story = {
  readonly task: string;
  readonly fleet: readonly Member[];
  readonly cases: readonly Case[];
  /** The build of the agent that the devices of the case PIPELINE get. */
  readonly build: { readonly agentVersion: string; readonly fault: "channels-swapped" | "mean-not-subtracted" };
};

/** What is made before the fleet starts. */
export type Prepared = { readonly poolDir: string; readonly packages: ModelPackages };

export const CLEAR = "clear";
export const PIPELINE = "pipeline";
/** The sites where several cases meet. */
export const SHARED_SITES = ["south", "east"];
/** Clean devices that place tests need beside the others. */
export const DEVICES_MIN = 30;

export type Group = {
  readonly name: string;
  readonly devices: number;
  readonly sites: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly fps?: number;
};

/** The devices of the groups, then as many clean ones as there are left. */
export function fleetOf(
  devices: number,
  changed: readonly Group[],
  labels: Group["labels"],
  sceneOf: (place: { readonly site: string; readonly case: string }) => Scene,
): readonly Member[] {
  const rest = devices - changed.reduce((sum, group) => sum + group.devices, 0);
  const groups: readonly Group[] = [...changed, { name: "nothing", devices: rest, sites: SHARED_SITES, labels }];
  const members = groups.flatMap(({ name, devices: size, sites, labels: own, fps = settings.fps }) =>
    Array.from({ length: size }, (_, i) => {
      const place = { site: sites[i % sites.length] as string, case: name };
      return { ...place, labels: own, scene: sceneOf(place), fps };
    }),
  );
  return members.map((member, i) => ({ deviceId: `light-${String(i + 1).padStart(3, "0")}`, ...member }));
}

export function caseOf(fleet: readonly Member[], { name, ...about }: Omit<Case, "devices">): Case {
  return { name, devices: fleet.filter((one) => one.case === name).map(({ deviceId }) => deviceId), ...about };
}
