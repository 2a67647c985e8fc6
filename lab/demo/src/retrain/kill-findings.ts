/** A training whose trainer was killed in each phase, against what one without kills leaves. Pure. */
import type { Dataset, Model, ModelAliases, TrainingEvent, TrainingRun } from "@tributary/contracts";
import type { Check } from "../rollout/run-case.ts";

/** When all devices run the candidate, so that it becomes champion, and the training has not ended. */
export const PROMOTION = "promotion";

export type Kill = {
  readonly phase: string;
  /** Until another process was ready. */
  readonly readySeconds: number | null;
  /** Until that one wrote the run's next record. */
  readonly wentOnSeconds: number | null;
};

/** All records of the model, in their order. */
export type Left = {
  readonly runs: readonly TrainingRun[];
  readonly events: readonly TrainingEvent[];
  readonly datasets: readonly Dataset[];
  readonly models: readonly Model[];
  readonly aliases: readonly ModelAliases[];
  /** Folders of attempts below the run's results. */
  readonly results: readonly string[];
};

const ONCE = [
  ...["REQUESTED", "RELEASED", "LABELS_COMPLETE", "FROZEN", "JOB_STARTED", "JOB_SUCCEEDED"],
  ...["PACKED", "PUSHED", "GATE_PASSED", "ROLLOUT_STARTED", "SUCCEEDED"],
];
const AGAIN: readonly string[] = ["RETRIED", "JOB_RETRIED", "RESTARTED"];

export function killChecks(kills: readonly Kill[], left: Left): readonly Check[] {
  const { runs, events, datasets, models, aliases, results } = left;
  const phases = [...distinct(runs.filter(({ endedAt }) => endedAt === null).map(({ phase }) => phase)), PROMOTION];
  const missed = phases.filter((phase) => !kills.some((kill) => kill.phase === phase));
  const trained = models.filter(({ lineage }) => lineage.trainingRun !== undefined);
  const challengers = aliases.flatMap(({ aliases: { challenger } }) => challenger ?? []);
  const frozen = datasets.filter(({ kind }) => kind === "RETRAINING").map(({ version }) => version);
  return [
    {
      name: `the trainer is killed once in each of ${phases.length} phases`,
      holds: missed.length === 0 && kills.length === phases.length,
      found: missed.length > 0 ? `not in ${missed.join(", ")}` : kills.map(({ phase }) => phase).join(", "),
    },
    {
      name: "another process is ready after each kill, and goes on",
      holds: kills.every(({ readySeconds, wentOnSeconds }) => readySeconds !== null && wentOnSeconds !== null),
      found: `after at most ${Math.max(...kills.map(({ wentOnSeconds }) => wentOnSeconds ?? Number.POSITIVE_INFINITY))} s`,
    },
    transitionCheck(events),
    one("one training", distinct(runs.map(({ runId }) => runId))),
    one("one dataset", distinct(frozen)),
    one("one attempt's results", results),
    one("one candidate", distinct(trained.map(({ version }) => version))),
    one("one challenger", distinct(challengers)),
  ];
}

/** Each once and in order; a gate that holds it writes HELD in place of GATE_PASSED, and a person's answer another. */
function transitionCheck(events: readonly TrainingEvent[]): Check {
  const kinds = events.map(({ kind }) => kind as string);
  const isHeld = kinds.includes("HELD");
  const wanted = ONCE.filter((kind) => !(isHeld && kind === "GATE_PASSED"));
  const wrong = [
    ...wanted.filter((kind) => count(kinds, kind) !== 1).map((kind) => `${kind} ${count(kinds, kind)} times`),
    ...kinds.filter((kind) => AGAIN.includes(kind)),
    ...events.filter(({ version }, i) => version !== BigInt(i + 1)).map(({ version, kind }) => `${kind} v${version}`),
  ];
  return {
    name: "each transition is written once, none is left out, and no attempt is repeated",
    holds: wrong.length === 0,
    found: wrong.join(", ") || `${events.length} transitions`,
  };
}

const one = (name: string, found: readonly string[]): Check => ({
  name,
  holds: found.length === 1,
  found: found.join(", ") || "none",
});
const count = (kinds: readonly string[], kind: string): number => kinds.filter((other) => other === kind).length;
const distinct = (values: readonly string[]): readonly string[] => [...new Set(values)];
