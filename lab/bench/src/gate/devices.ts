/** Part of `bench gate`: candidates whose effect differs between devices. On average they gain nothing on the drifted slice, or lose an old
 * slice's margin, so none should pass more often than the level says; a test that takes frames for independent passes many. */
import { type Random, seededRandom } from "@tributary/kernel";
import { type DeviceCounts, marginDefaults, marginOf, type Slice, sliceLines } from "@tributary/models/gate";
import { clopperPearson } from "@tributary/statistics";
import { percent } from "@tributary/testing";
import { binomial, normal } from "@tributary/testing/fleet";
import type { BenchReport, Gate, Table } from "../bench.ts";

const DEVICES = [3, 5, 8, 20, 100] as const;
/** Between devices, of the paired difference. */
const SDS = [0, 0.05, 0.1] as const;
/** Of one device, where it has more than the others. */
const LARGEST = 0.5;

const ROLES = [
  { role: "drifted", frames: 225, discordance: 0.2, harmless: 0.12 },
  { role: "old", frames: 5_000, discordance: 0.1, harmless: 0 },
] as const;
type Role = (typeof ROLES)[number];

/** Of devices that do not differ: power is this share of that of frames, where they are independent. */
const POWER_SHARES_MIN = { equal: 0.85, unequal: 0.6 } as const;
const POWER_DEVICES_MIN = 8;
/** Of the gate that no cell is above its level: chance of a false alarm in any of them. */
const FALSE_ALARM = 0.02;

type Cell = {
  readonly role: Role["role"];
  readonly devices: number;
  readonly isUnbalanced: boolean;
  readonly sd: number;
  /** Share of draws that pass: by devices, and were their frames independent. */
  readonly passes: number;
  readonly framePasses: number;
};

export type DevicesPart = Pick<BenchReport, "tables" | "gates"> & { readonly figures: readonly Cell[] };

export async function devicesPart(draws: number, progress: (line: string) => void): Promise<DevicesPart> {
  const harmful: Cell[] = [];
  const harmless: Cell[] = [];
  for (const [r, role] of ROLES.entries()) {
    for (const devices of DEVICES) {
      for (const isUnbalanced of [false, true]) {
        const frames = framesOf(role, { devices, isUnbalanced }).reduce((sum, count) => sum + count, 0);
        const none = role.role === "drifted" ? 0 : -marginOf(frames, role.discordance, marginDefaults);
        const seed = 100_000 * (r + 1) + 100 * devices + (isUnbalanced ? 10 : 0);
        for (const [s, sd] of SDS.entries()) {
          harmful.push(cellOf(role, { devices, isUnbalanced, sd, gain: none }, draws, seed + s));
          await new Promise(setImmediate); // Lets Ctrl-C be handled.
        }
        harmless.push(cellOf(role, { devices, isUnbalanced, sd: 0, gain: role.harmless }, draws, seed + 9));
      }
    }
    progress(`devices that differ, ${role.role} slice: ${harmful.length + harmless.length} cells of ${draws} draws`);
  }
  return {
    tables: ROLES.map((role) => tableOf(role, harmful, harmless, draws)),
    gates: [...levelGates(harmful, draws), ...powerGates(harmless)],
    figures: [...harmful, ...harmless],
  };
}

type World = {
  readonly devices: number;
  readonly isUnbalanced: boolean;
  readonly sd: number;
  /** On average over devices. */
  readonly gain: number;
};

function cellOf(role: Role, world: World, draws: number, seed: number): Cell {
  const random = seededRandom(seed);
  let [passes, framePasses] = [0, 0];
  for (let i = 0; i < draws; i++) {
    const slice = drawn(role, world, random);
    const { devices: _, ...frames } = slice;
    if (isPassed(role, slice, world.gain)) passes += 1;
    if (isPassed(role, frames, world.gain)) framePasses += 1;
  }
  const { devices, isUnbalanced, sd } = world;
  return { role: role.role, devices, isUnbalanced, sd, passes: passes / draws, framePasses: framePasses / draws };
}

/** An old slice may pass by a margin larger than its loss: that is not false. */
function isPassed({ role }: Role, slice: Slice, gain: number): boolean {
  const slices = role === "old" ? { old: [slice], drifted: [] } : { old: [], drifted: [slice] };
  const [line] = sliceLines(slices, marginDefaults);
  return line?.verdict === "passed" && (role === "drifted" || gain === 0 || line.bound <= -gain);
}

/** Of each device. */
const framesOf = ({ frames }: Role, { devices, isUnbalanced }: Pick<World, "devices" | "isUnbalanced">) =>
  Array.from({ length: devices }, (_, i) => {
    const ofOthers = (1 - LARGEST) / (devices - 1);
    const share = !isUnbalanced ? 1 / devices : i === 0 ? LARGEST : ofOthers;
    return Math.max(1, Math.round(frames * share));
  });

function drawn(role: Role, world: World, random: Random): Slice {
  const devices = framesOf(role, world).map((count, i): DeviceCounts => {
    const gain = Math.min(0.9, Math.max(-0.9, world.gain + world.sd * normal(random)));
    // Who gains so much on a device differs on as many of its frames.
    const differ = Math.max(role.discordance, Math.abs(gain));
    const won = binomial(count, (differ + gain) / 2, random);
    const lost = binomial(count - won, (differ - gain) / (2 - differ - gain), random);
    return { device: `device-${i}`, frames: count, won, lost };
  });
  const sum = (of: (one: DeviceCounts) => number) => devices.reduce((total, one) => total + of(one), 0);
  const [all, won, lost] = [sum((one) => one.frames), sum((one) => one.won), sum((one) => one.lost)];
  return {
    name: "site=north",
    frames: all,
    won,
    lost,
    candidate: 0.75 + won / all,
    champion: 0.75 + lost / all,
    devices,
  };
}

function tableOf(role: Role, harmful: readonly Cell[], harmless: readonly Cell[], draws: number): Table {
  const rows = DEVICES.flatMap((devices) =>
    [false, true].map((isUnbalanced) => {
      const of = (cells: readonly Cell[], sd: number) =>
        cells.find(
          (cell) =>
            cell.role === role.role && cell.devices === devices && cell.isUnbalanced === isUnbalanced && cell.sd === sd,
        ) as Cell;
      const beside = ({ passes, framePasses }: Cell) => `${percent(passes)} (${percent(framePasses)})`;
      const frames = isUnbalanced ? `one has ${percent(LARGEST)}` : "equal";
      return [devices, frames, ...SDS.map((sd) => beside(of(harmful, sd))), beside(of(harmless, 0))];
    }),
  );
  const [harm, none] =
    role.role === "drifted"
      ? ["without effect on average", `+${Math.round(100 * role.harmless)} points, sd 0`]
      : ["that loses the margin on average", "as good, sd 0"];
  return {
    title: `How often a candidate ${harm} passes a slice of ${role.frames} ${role.role} frames, by the sd of its effect between devices; in brackets by frames alone (${draws} draws a cell)`,
    columns: ["devices", "frames of each", ...SDS.map((sd) => `sd ${sd}`), none],
    rows,
  };
}

function levelGates(cells: readonly Cell[], draws: number): readonly Gate[] {
  const confidence = 1 - (2 * FALSE_ALARM) / cells.length;
  return SDS.map((sd) => {
    const own = cells.filter((cell) => cell.sd === sd);
    const isAbove = ({ passes }: Cell) =>
      clopperPearson(Math.round(passes * draws), draws, confidence).lower > marginDefaults.alpha;
    return {
      name: `devices differ by sd ${sd}: consistent with at most ${percent(marginDefaults.alpha)} of false passes, 3 to 100 devices`,
      passed: !own.some(isAbove),
      measured: `at most ${percent(Math.max(...own.map(({ passes }) => passes)))}; by frames alone ${percent(Math.max(...own.map(({ framePasses }) => framePasses)))}`,
    };
  });
}

function powerGates(cells: readonly Cell[]): readonly Gate[] {
  return ROLES.flatMap(({ role }) =>
    [false, true].map((isUnbalanced): Gate => {
      const own = cells.filter((cell) => cell.role === role && cell.isUnbalanced === isUnbalanced);
      const shares = own
        .filter(({ devices }) => devices >= POWER_DEVICES_MIN)
        .map(({ passes, framePasses }) => passes / framePasses);
      const bound = isUnbalanced ? POWER_SHARES_MIN.unequal : POWER_SHARES_MIN.equal;
      const what = isUnbalanced ? `one with ${percent(LARGEST)} of frames` : "with as many frames each";
      return {
        name: `${role} slice, devices alike, ${what}: from ${POWER_DEVICES_MIN} on at least ${percent(bound)} of the power of frames alone`,
        passed: Math.min(...shares) >= bound,
        measured: percent(Math.min(...shares)),
      };
    }),
  );
}
