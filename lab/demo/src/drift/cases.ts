/** Five things that happen to one fleet at the same time, and the verdicts that must come of them. */
import type { DriftVerdict } from "@tributary/contracts";
import { CLEAR, WARM_SCENE } from "./pool.ts";
import { settings } from "./settings.ts";

export type Expected = {
  readonly cause: DriftVerdict["cause"];
  readonly scopeKey: string;
  readonly scopeValue: string;
  readonly fault: string;
};

export type Case = {
  readonly name: string;
  readonly summary: string;
  readonly devices: readonly string[];
  /** Null: no verdict may name any of them. */
  readonly expected: Expected | null;
};

/** A device of the fleet, as it is registered. */
export type Member = {
  readonly deviceId: string;
  readonly site: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly case: string;
  /** What its camera sees before anything changes. */
  readonly view: string;
  /** Frames a second. */
  readonly fps: number;
};

type Group = {
  readonly name: string;
  readonly devices: number;
  readonly sites: readonly string[];
  readonly lens?: string;
  readonly view?: string;
  readonly fps?: number;
};

const COMMON_LENS = "acme-1";
const RARE_LENS = "acme-2";
/** The sites where several cases meet. */
const SHARED_SITES = ["south", "east"];
/** The build of the agent that has the wrong pipeline. */
export const NEXT_BUILD = { agentVersion: "0.2.0", fault: "channels-swapped" } as const;
export const NEW_CLASS = "ship";

const changed: readonly Group[] = [
  { name: "camera", devices: 3, sites: SHARED_SITES, lens: RARE_LENS, view: WARM_SCENE, fps: 4 },
  { name: "dusk", devices: 8, sites: ["north"] },
  { name: "class-mix", devices: 6, sites: ["harbour"], fps: 2 },
  { name: "pipeline", devices: 5, sites: SHARED_SITES },
];
/** Clean devices that place tests need beside the others. */
export const DEVICES_MIN = 30;

export function fleetOf(devices: number): readonly Member[] {
  const rest = devices - changed.reduce((sum, group) => sum + group.devices, 0);
  const groups: readonly Group[] = [...changed, { name: "nothing", devices: rest, sites: SHARED_SITES }];
  const places = groups.flatMap(
    ({ name, devices: size, sites, lens = COMMON_LENS, view = CLEAR, fps = settings.fps }) =>
      Array.from({ length: size }, (_, i) => {
        const site = sites[i % sites.length] as string;
        return { site, labels: { lens }, case: name, view, fps };
      }),
  );
  return places.map((place, i) => ({ deviceId: `light-${String(i + 1).padStart(3, "0")}`, ...place }));
}

export function casesOf(fleet: readonly Member[]): readonly Case[] {
  const of = (name: string) => fleet.filter((member) => member.case === name).map(({ deviceId }) => deviceId);
  const one = (name: string, summary: string, expected: Expected | null): Case => {
    return { name, summary, devices: of(name), expected };
  };
  return [
    one("camera", "the cameras with one lens deliver red and blue swapped", {
      cause: "CAMERA",
      scopeKey: "label:lens",
      scopeValue: RARE_LENS,
      fault: "channels-swapped",
    }),
    one("dusk", "it grows dark at one site", { cause: "WORLD", scopeKey: "site", scopeValue: "north", fault: "dark" }),
    one("class-mix", "cameras of one site see mostly ships", {
      cause: "LABEL_SHIFT",
      scopeKey: "site",
      scopeValue: "harbour",
      fault: "",
    }),
    one("pipeline", "an agent version prepares pictures with red and blue swapped", {
      cause: "PREPROCESSING",
      scopeKey: "agentVersion",
      scopeValue: NEXT_BUILD.agentVersion,
      fault: NEXT_BUILD.fault,
    }),
    one("nothing", "nothing changes", null),
  ];
}
