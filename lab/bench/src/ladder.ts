/** `bench ladder`: the properties of the ladder of cameras with a deadline (ADR 57), over simulated drives. */
import { type LadderProperty, ladderProperties } from "@tributary/testing/driving";
import type { Bench, BenchOptions, BenchReport, Gate } from "./bench.ts";
import { inWorkers } from "./in-workers.ts";
import { noneChecked, type SeedsChecked, type SeedsTask, together } from "./ladder/check.ts";

const SEEDS = 10_000;
const SEEDS_QUICK = 200;
/** Of a control: it has to violate, not to be measured. */
const SEEDS_CONTROL = 200;
const CHUNK = 50;

export const ladder: Bench = {
  name: "ladder",
  summary:
    "properties of the ladder FULL, LITE, STALE, SAFE over 10,000 simulated drives each, and controls that violate them",
  details: `A camera of 20 frames a second with a deadline of 50 ms, two models whose latencies are drawn (medians 8 and 2 ms), faults that
are drawn, and the ladder that the agent runs (libs/core/driving). ${SEEDS} seeds for each property, ${SEEDS_QUICK} with --quick; ${SEEDS_CONTROL} for a control, the ladder
with one rule weakened.
${ladderProperties.map(({ name, driveMs }) => `  ${name} (${lengthOf(driveMs)})`).join("\n")}
Gates: no seed violates a property, each property is shown by at least one case, and each control violates it.`,
  run,
};

function lengthOf(driveMs: number): string {
  return driveMs < 60_000 ? `${driveMs / 1_000} s` : `${driveMs / 60_000} min`;
}

type Row = {
  readonly property: LadderProperty;
  readonly checked: SeedsChecked;
  readonly controls: readonly { readonly name: string; readonly checked: SeedsChecked }[];
};

async function run({ flags, progress }: BenchOptions): Promise<BenchReport> {
  const seeds = flags.quick === true ? SEEDS_QUICK : SEEDS;
  const tasks = ladderProperties.flatMap(({ controls }, property) => [
    ...chunksOf(property, null, seeds),
    ...controls.flatMap((_, control) => chunksOf(property, control, SEEDS_CONTROL)),
  ]);
  const program = new URL("./ladder/check-worker.js", import.meta.url);
  const done = await inWorkers<SeedsTask, SeedsChecked>(program, tasks, (count) => {
    if (count % 100 === 0) progress(`${count} of ${tasks.length} groups of ${CHUNK} drives`);
  });
  const of = (property: number, control: number | null) =>
    done
      .filter((_, i) => tasks[i]?.property === property && tasks[i]?.control === control)
      .reduce(together, noneChecked);
  const rows = ladderProperties.map(
    (property, p): Row => ({
      property,
      checked: of(p, null),
      controls: property.controls.map(({ name }, c) => ({ name, checked: of(p, c) })),
    }),
  );
  return {
    tables: [
      {
        title: `Properties, ${seeds} seeds each`,
        columns: ["property", "drive", "seeds", "cases", "what a case is", "violating seeds"],
        rows: rows.map(({ property: { name, driveMs, cases }, checked }) => [
          name,
          lengthOf(driveMs),
          checked.seeds,
          checked.cases,
          cases,
          checked.violating,
        ]),
      },
      {
        title: "Controls: one rule weakened",
        columns: ["property", "control", "seeds", "violating seeds", "for example"],
        rows: rows.flatMap(({ property, controls }) =>
          controls.map(({ name, checked: { seeds, violating, example } }) => [
            property.name,
            name,
            seeds,
            violating,
            (example ?? "").slice(0, 120),
          ]),
        ),
      },
    ],
    gates: rows.flatMap(gatesOf),
    figures: rows.map(({ property: { name }, checked, controls }) => ({ name, ...checked, controls })),
  };
}

function gatesOf({ property, checked, controls }: Row): Gate[] {
  const { violating, seeds, cases, example } = checked;
  return [
    {
      name: property.name,
      passed: violating === 0 && cases > 0,
      measured: `${violating} of ${seeds} seeds violate it${example === null ? "" : `: ${example}`}`,
    },
    ...controls.map(({ name, checked: control }) => ({
      name: `control: ${name}`,
      passed: control.violating > 0,
      measured: `${control.violating} of ${control.seeds} seeds violate it`,
    })),
  ];
}

const chunksOf = (property: number, control: number | null, seeds: number): SeedsTask[] =>
  Array.from({ length: seeds / CHUNK }, (_, chunk) => ({
    property,
    control,
    fromSeed: 1 + chunk * CHUNK,
    seeds: CHUNK,
  }));
