/** `bench rollouts`: whole rollouts of simulated fleets, through the real cohorts, state machine, controller and judge.
 *
 * Every run is drawn from its seed; one that broke a guarantee is reported by its seed. */
import { clopperPearson } from "@tributary/statistics";
import {
  type Candidate,
  calmly,
  MINUTE,
  roughWorld,
  type Simulation,
  type SimulationResult,
  simulate,
  soundCandidate,
  usualSpec,
} from "@tributary/testing/fleet";
import type { Bench, BenchOptions, BenchReport, Gate, Table } from "./bench.ts";

/** Alphas of the default specification: accuracy, deadlines, crashes. */
const ALPHA = 0.02 + 0.015 + 0.01;

type Expected = "seldom rolled back" | "back" | "held" | "up";
const cases = [
  { name: "identical", candidate: {}, expected: "seldom rolled back" },
  { name: "effects on devices, none on average", candidate: { effectSd: 0.02 }, expected: "seldom rolled back" },
  { name: "2 points better", candidate: { harm: -0.02 }, expected: "up" },
  { name: "5 points worse", candidate: { harm: 0.05 }, expected: "back" },
  { name: "late on three of ten frames", candidate: { missed: 0.3 }, expected: "back" },
  { name: "crashes four times an hour", candidate: { crashesPerHour: 4 }, expected: "back" },
  { name: "refused by half of the devices", candidate: { refusedBy: 0.5 }, expected: "back" },
  { name: "silences nine of ten devices", candidate: { silences: 0.9 }, expected: "held" },
  { name: "claimed by six of ten that do not run it", candidate: { misreportedBy: 0.6 }, expected: "held" },
] as const satisfies readonly { name: string; candidate: Partial<Candidate>; expected: Expected }[];

export const rollouts: Bench = {
  name: "rollouts",
  summary: "rollouts of simulated fleets: how each kind of model ends, when, and how many devices it reached",
  details: `Fleets of ${roughWorld.devices} devices in the field: they drift, leave, are disconnected, report late, twice or nonsense, some share an id;
a shock hits all for an hour, a fifth of all commands is lost; two instances with clocks two minutes apart, one a minute behind.
A canary of 5 % is judged for two hours. Gates: harmful models are always rolled back from the canary; silent ones are held;
equal ones are rolled back at most as often as their alphas allow; none of the guarantees G5 and G6 is broken in any run.
With --long 200 runs a case instead of 10, and two rollouts of 100,000 devices.`,
  run,
};

async function run({ isLong, progress }: BenchOptions): Promise<BenchReport> {
  const runs = isLong ? 200 : 10;
  const rows: (readonly (string | number)[])[] = [];
  const gates: Gate[] = [];
  const broken: string[] = [];
  const figures: Record<string, unknown> = {};
  for (const { name, candidate, expected } of cases) {
    const results: SimulationResult[] = [];
    for (let seed = 1; seed <= runs; seed++) {
      results.push(simulate(fieldRun(seed, candidate)));
      await new Promise(setImmediate); // Lets Ctrl-C be handled.
    }
    progress(`${name}: ${runs} runs`);
    broken.push(...results.flatMap((one) => one.broken.map((what) => `${name}, seed ${one.seed}: ${what}`)));
    const row = rowOf(name, results);
    rows.push(row);
    gates.push(gateOf(name, expected, results, isLong));
    figures[name] = results.map(({ rollout: _, ...one }) => one);
  }
  gates.push({ name: "no guarantee is broken", passed: broken.length === 0, measured: broken[0] ?? "none" });
  const tables: Table[] = [
    {
      title: `How ${runs} rollouts of each model end`,
      columns: [
        "model",
        "promoted",
        "rolled back",
        "paused",
        "minutes, median",
        "most devices before rollback",
        "canary",
      ],
      rows,
    },
  ];
  if (isLong) {
    const large = await largeRuns(progress);
    tables.push(large.table);
    gates.push(...large.gates);
  }
  return { tables, gates, figures };
}

function fieldRun(seed: number, candidate: Partial<Candidate>): Simulation {
  return {
    ...calmly,
    seed,
    spec: usualSpec("2h"),
    instances: 2,
    skewMs: 2 * MINUTE,
    lagMs: MINUTE,
    settings: { goneMs: 30 * MINUTE }, // A day is longer than these runs.
    world: { ...roughWorld, candidate: { ...soundCandidate, ...candidate } },
  };
}

const isBack = ({ rollout }: SimulationResult) => rollout?.aborted != null;
const isUp = ({ phase }: SimulationResult) => phase === "Healthy";

function rowOf(name: string, results: readonly SimulationResult[]): readonly (string | number)[] {
  const back = results.filter(isBack);
  const minutes = results.map(({ minute }) => minute).sort((a, b) => a - b);
  return [
    name,
    results.filter(isUp).length,
    back.length,
    results.filter((one) => !isUp(one) && !isBack(one)).length,
    Math.round(minutes[Math.floor(minutes.length / 2)] as number),
    back.length === 0 ? "-" : Math.max(...back.map(({ blastRadius }) => blastRadius)),
    results[0]?.canaries ?? 0,
  ];
}

function gateOf(name: string, expected: Expected, results: readonly SimulationResult[], isLong: boolean): Gate {
  const [back, up] = [results.filter(isBack), results.filter(isUp)];
  const measured = `${up.length} promoted, ${back.length} rolled back of ${results.length}`;
  const within = back.every(({ blastRadius, canaries }) => blastRadius <= canaries);
  switch (expected) {
    case "seldom rolled back": {
      // Few runs cannot show so small a rate: then the gate is that they do not refute it.
      const rate = isLong ? back.length / results.length : clopperPearson(back.length, results.length, 0.98).lower;
      return {
        name: `${name}: at most ${(100 * ALPHA).toFixed(1)} % are rolled back`,
        passed: rate <= ALPHA,
        measured,
      };
    }
    case "back":
      return {
        name: `${name}: all are rolled back, from the canary`,
        passed: back.length === results.length && within,
        measured,
      };
    case "held":
      return {
        name: `${name}: none widens`,
        passed: results.every(({ rollout }) => (rollout?.weight ?? 0) <= 5),
        measured,
      };
    case "up":
      return {
        name: `${name}: none is rolled back, most are promoted`,
        passed: back.length === 0 && 2 * up.length > results.length,
        measured,
      };
    default:
      return expected satisfies never;
  }
}

async function largeRuns(progress: (line: string) => void): Promise<{ readonly table: Table; readonly gates: Gate[] }> {
  const rows: (readonly (string | number)[])[] = [];
  const gates: Gate[] = [];
  for (const [name, harm] of [
    ["2 points better", -0.02],
    ["5 points worse", 0.05],
  ] as const) {
    const startedMs = performance.now();
    const field = fieldRun(1, { harm });
    const result = simulate({
      ...field,
      stepMs: MINUTE,
      spec: usualSpec("2h", { pacing: { devicesPerMinute: 20_000 } }),
      world: { ...field.world, devices: 100_000 },
    });
    const seconds = (performance.now() - startedMs) / 1_000;
    progress(`100,000 devices, ${name}: ${seconds.toFixed(0)} s`);
    rows.push([
      name,
      result.history.at(-1) ?? "",
      Math.round(result.minute),
      result.blastRadius,
      result.canaries,
      seconds.toFixed(0),
    ]);
    const isRight = harm > 0 ? isBack(result) && result.blastRadius <= result.canaries : isUp(result);
    gates.push({
      name: `100,000 devices, ${name}: ends as expected, and breaks no guarantee`,
      passed: isRight && result.broken.length === 0,
      measured: result.broken[0] ?? (isUp(result) ? "to all" : isBack(result) ? "back" : "held"),
    });
    await new Promise(setImmediate);
  }
  return {
    table: {
      title: "100,000 devices",
      columns: ["model", "last event", "minute", "most devices", "canary", "seconds here"],
      rows,
    },
    gates,
  };
}
