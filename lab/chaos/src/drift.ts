/**
 * Two drift-monitors are killed with -9, and stopped for longer than Kafka waits for them, in the middle of windows and while
 * verdicts open (G12; partition-worker.ts W1 of drift-monitor).
 *
 * The same windows go to three pairs of them: undisturbed, disturbed, and a control that commits before a state is stored
 * (lab/sabotage). Of the first two every device's state must be equal to the byte in the end, and so must what verdicts say:
 * cause, place, fault, devices, and since when. The control has to differ.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Random, seededRandom } from "@tributary/kernel";
import { startKafka } from "../../../tools/kafka.mjs";
import { SketchedFleet, WINDOW_MS } from "./drift/fleet.ts";
import { DriftWorld, type VerdictFacts, type Written } from "./drift/world.ts";
import { type Check, check, type Drill, type Findings } from "./scenario.ts";

/** Windows before anything is disturbed: the baseline and some more. */
const PAST_WINDOWS = 80;
/** Windows after it, in real time; what changes does after so many of them. */
const LIVE_WINDOWS = 240;
const CHANGE_AT = 10;
/** The last ones are not disturbed. */
const CALM_WINDOWS = 20;
/** Nothing was written for so long: everything is read. An instance that was killed is back long before. */
const QUIET_MS = 12_000;
const SETTLED_MS_MAX = 90_000;
const PAUSE_MS = { min: 2_000, max: 6_000 };
/** Kafka waits 10 s for an instance. */
const STOPPED_MS = 13_000;
/** Dusk at a site, swapped channels with a lens, golden frames of an agent version. */
const CHANGES = 3;
const DEATHS = ["before-verdict", "after-verdict"];

export const drift: Drill = {
  name: "drift",
  summary: "two drift-monitors killed with -9 or stopped, in the middle of windows and while verdicts open",
  details: `Verdicts and states must be those of an undisturbed pair. With a control that must differ: instances that commit windows
before the states that include them are stored.`,
  options: [{ name: "seed", about: "seed of the windows and of the moments of kills", value: 1 }],
  run: async ({ dir, log, options }) => {
    const startedMs = performance.now();
    const kafka = await startKafka({ dataDir: join(dir, "kafka"), logFile: join(dir, "kafka.log"), heapMb: 256 });
    const worlds: DriftWorld[] = [];
    try {
      const seed = options.seed ?? 1;
      const fleet = await SketchedFleet.open(seed);
      const known = fleet.registrations();
      const open = async (name: string, deaths: readonly string[], sabotage?: string) => {
        const place = { dir: join(dir, name), brokers: [kafka.brokers], prefix: `${name}.` };
        const world = await DriftWorld.open({ ...place, deaths, ...(sabotage && { sabotage }) }, known);
        worlds.push(world);
        return world;
      };
      log("three pairs of drift-monitors");
      const [calm, killed, control] = await Promise.all([
        open("calm", []),
        open("killed", DEATHS),
        open("control", [], "commit-before-stored"),
      ]);
      const disturbing = new AbortController();
      const { signal } = disturbing;
      const disturbances = [
        disturb(killed, seededRandom(seed), true, signal),
        disturb(control, seededRandom(seed + 1), false, signal),
      ];
      await feed(fleet, worlds, () => disturbing.abort(), log);
      const [kills, controlKills] = (await Promise.all(disturbances)) as [Disturbed, Disturbed];
      log(`disturbed: ${kills.kills} kills, ${kills.stops} stops, ${killed.monitors.died.length} deaths while opening`);
      const expected = await settled(calm);
      const found = await settled(killed, expected);
      const sabotaged = await settled(control);
      const figures = {
        devices: fleet.size,
        "windows of a device": PAST_WINDOWS + LIVE_WINDOWS,
        "kills with -9": kills.kills,
        "deaths while a verdict opens": killed.monitors.died.length,
        stops: kills.stops,
        verdicts: expected.verdicts.size,
        seconds: Math.round((performance.now() - startedMs) / 1_000),
      };
      return [
        { title: "drift-monitors killed and stopped", checks: checksOf(expected, found, killed), figures },
        controlFindings(expected, sabotaged, controlKills),
      ];
    } finally {
      await Promise.all(worlds.map((world) => world.close()));
      await kafka.stop();
    }
  },
};

/** The past at once, then a window at a time, the same to all. */
async function feed(
  fleet: SketchedFleet,
  worlds: readonly DriftWorld[],
  onCalm: () => void,
  log: (line: string) => void,
): Promise<void> {
  const toAll = (records: ReturnType<SketchedFleet["window"]>) =>
    Promise.all(worlds.map((world) => world.send(records)));
  fleet.startedAt = Date.now() - PAST_WINDOWS * WINDOW_MS;
  for (let number = 0; number < PAST_WINDOWS; number++) await toAll(fleet.window(number, false));
  for (let live = 0; live < LIVE_WINDOWS; live++) {
    await sleep(Math.max(0, fleet.endOf(PAST_WINDOWS + live) - Date.now()));
    if (live === CHANGE_AT) {
      log("three changes at once");
      await toAll(fleet.updated(Date.now()));
    }
    if (live === LIVE_WINDOWS - CALM_WINDOWS) onCalm();
    await toAll(fleet.window(PAST_WINDOWS + live, live >= CHANGE_AT));
  }
}

type Disturbed = { readonly kills: number; readonly stops: number };

/** One instance after the other; every third one is stopped for longer than Kafka waits, then continues. */
async function disturb(
  { monitors }: DriftWorld,
  random: Random,
  withStops: boolean,
  signal: AbortSignal,
): Promise<Disturbed> {
  let [kills, stops] = [0, 0];
  for (let turn = 0; !signal.aborted; turn++) {
    await sleep(PAUSE_MS.min + random() * (PAUSE_MS.max - PAUSE_MS.min));
    const service = monitors.services[turn % monitors.services.length];
    if (signal.aborted || !service?.alive()) continue;
    if (withStops && turn % 3 === 2) {
      stops++;
      process.kill(service.pid, "SIGSTOP");
      await sleep(STOPPED_MS);
      process.kill(service.pid, "SIGCONT");
      continue;
    }
    kills++;
    await service.kill();
  }
  return { kills, stops };
}

/** What it wrote once it writes nothing any more, or as soon as that is what is expected. */
async function settled(world: DriftWorld, expected?: Written): Promise<Written> {
  const givesUpAt = performance.now() + SETTLED_MS_MAX;
  let last = await world.written();
  for (let quietSince = performance.now(); performance.now() < givesUpAt; ) {
    if (expected !== undefined && differencesOf(expected, last).length === 0) break;
    if (expected === undefined && performance.now() - quietSince > QUIET_MS) break;
    await sleep(1_000);
    const next = await world.written();
    if (next.states.size > last.states.size || differencesOf(last, next).length > 0) quietSince = performance.now();
    last = next;
  }
  return last;
}

function differencesOf(expected: Written, found: Written): readonly string[] {
  return [...statesThatDiffer(expected, found), ...verdictsThatDiffer(expected, found)];
}

const statesThatDiffer = (expected: Written, found: Written): readonly string[] =>
  [...expected.states].filter(([device, state]) => found.states.get(device) !== state).map(([device]) => device);

function verdictsThatDiffer({ verdicts: expected }: Written, { verdicts: found }: Written): readonly string[] {
  const ids = new Set([...expected.keys(), ...found.keys()]);
  return [...ids].flatMap((id) => {
    const [one, other] = [expected.get(id), found.get(id)];
    if (JSON.stringify(one) === JSON.stringify(other)) return [];
    return [`${(one ?? other)?.what}: ${wordsOf(one)} undisturbed, ${wordsOf(other)} here`];
  });
}

const wordsOf = (facts: VerdictFacts | undefined): string =>
  facts === undefined ? "none" : `${facts.state.toLowerCase()} since ${facts.since}, ${facts.devices.length} devices`;

function checksOf(expected: Written, found: Written, killed: DriftWorld): readonly Check[] {
  const open = [...expected.verdicts.values()].filter(({ state }) => state === "OPEN");
  const states = statesThatDiffer(expected, found);
  const verdicts = verdictsThatDiffer(expected, found);
  const { versions } = found;
  const twice = versions.length - new Set(versions).size;
  const missed = DEATHS.filter((death) => !killed.monitors.died.includes(death));
  return [
    check(
      `undisturbed, ${CHANGES} changes have a verdict each`,
      open.length === CHANGES && expected.verdicts.size === CHANGES,
      open.map(({ what, devices }) => `${what}, ${devices.length} devices`).join("; ") || "none",
    ),
    check("the same verdicts: cause, place, fault, devices, since when", verdicts.length === 0, listed(verdicts)),
    check("every device's state is equal to the byte", states.length === 0, listed(states)),
    check("no version of a verdict is written twice", twice === 0, `${versions.length} records, ${twice} twice`),
    check("every planned death happened", missed.length === 0, missed.join(", ") || killed.monitors.died.join(", ")),
  ];
}

function controlFindings(expected: Written, found: Written, { kills }: Disturbed): Findings {
  const states = statesThatDiffer(expected, found);
  const differing = `${states.length} of ${expected.states.size} states differ; ${listed(verdictsThatDiffer(expected, found))}`;
  return {
    title: "Control: committing before the state is stored",
    checks: [check("lost windows are detected", states.length > 0, differing)],
    figures: { "kills with -9": kills },
  };
}

const listed = (differences: readonly string[]): string => differences.slice(0, 3).join("; ") || "none differs";
