/** `bench retrain --tasks`: trainings of tasks of other shapes than the sample's, each with what the trainer chooses by itself, and the gate
 * under wrong labels (task-poison.ts).
 *
 * A training either regains something at the site, or states that it gives nothing; what it costs, by class and place, is measured on photos that
 * nothing else used. Candidates of these trainings are those of right labels at the gate. */
import { availableParallelism } from "node:os";
import { clopperPearsonUpper } from "@tributary/statistics";
import { openTasks, type Task } from "@tributary/tasks";
import { type Forecast, forecastRegained } from "@tributary/training";
import type { BenchReport, Gate, Table } from "../bench.ts";
import { gainsOf, type PlaceFigures, percent, placeFigures, points, worstOf } from "./figures.ts";
import { ALPHA, changeOf, LOSS_MAX, lowerOf, lowerOfNets, provenLosses, seemingHarm } from "./proven.ts";
import {
  cleanTrial,
  type Extent,
  type PoisonTrial,
  poisonGates,
  poisonPlans,
  poisonTable,
  poisonTrials,
} from "./task-poison.ts";
import { isSlow, type TaskDrift, TaskSite, taskDrifts, type View } from "./task-site.ts";

const LABELS = [100, 200, 400] as const;
/** Another mix of classes costs a site next to nothing, so one number of labels shows what a training harms there. */
const MIX_LABELS = 200;
/** Below it a site lost too little for a share of it to mean anything. */
const LOST_MIN = 0.02;
/** A step of models of larger frames takes several times as long: by default these get the fewest labels. */
const SMALL_SIDE = 160;
const FORECASTS_MIN = 0.8;
/** So many are given all numbers of labels, and all shares of wrong ones. */
const FEW_TASKS = 2;

type Planned = { readonly site: TaskSite; readonly drift: TaskDrift; readonly labels: number };

/** Elsewhere, in the same order for all trainings of a task. */
type Photos = { readonly labels: readonly number[]; readonly gains: readonly number[] };

type Trial = {
  readonly task: string;
  readonly drift: TaskDrift;
  readonly labels: number;
  readonly blend: number;
  readonly nothing: string | null;
  readonly site: PlaceFigures;
  readonly elsewhere: PlaceFigures;
  readonly photos: Photos;
  /** Null: next to nothing was lost. */
  readonly regained: number | null;
  readonly forecast: Forecast;
  readonly cpuSeconds: number;
};

export type TasksOptions = {
  readonly choice: string;
  readonly isLong: boolean;
  readonly dir: string;
  readonly progress: (line: string) => void;
};

export async function benchTasks({ choice, isLong, dir, progress }: TasksOptions): Promise<BenchReport> {
  const chosen = await openTasks(choice);
  const isAll = isLong || chosen.length <= FEW_TASKS;
  const tasks = isAll ? chosen : chosen.filter((task) => !isSlow(task));
  const extent = { isAll, isLong };
  const startedAt = performance.now();
  const sites = await atOnce(tasks, (task) => TaskSite.open(task, dir, progress));
  const openedAt = performance.now();
  const trials: Trial[] = [];
  const gated: PoisonTrial[] = [];
  const trainings = plannedTrials(sites, extent).map((planned) => async () => {
    const { trial, model } = await trialOf(planned);
    trials.push(trial);
    if (trial.nothing === null && trial.drift === "dusk") gated.push(await cleanTrial(planned.site, model));
    return `${trial.task}, ${trial.drift}, ${trial.labels} labels: ${outcomeWords(trial)}`;
  });
  const wrong = sites.flatMap((site, place) =>
    poisonPlans(place, site.task, extent).map((plan) => async () => {
      const both = await poisonTrials(site, plan);
      gated.push(...both);
      const { kind, share } = plan.poison;
      const each = both.map(
        (one) => `blend ${one.blend} site ${points(one.site)}, passes ${percent(one.passedByLabels)}`,
      );
      return `${site.task.name}, ${percent(share)} ${kind}: ${each.join("; ")}`;
    }),
  );
  const all = [...trainings, ...wrong];
  let done = 0;
  await atOnce(all, async (work) => {
    const line = await work();
    done += 1;
    const minutes = ((performance.now() - openedAt) / done) * ((all.length - done) / 60_000);
    progress(`${done} of ${all.length}, about ${minutes.toFixed(1)} min left: ${line}`);
  });
  const minutes = (performance.now() - startedAt) / 60_000;
  const order = (one: { readonly task: string }) => tasks.findIndex(({ name }) => name === one.task);
  const byTask = <T extends { readonly task: string }>(list: readonly T[]) =>
    list.toSorted((a, b) => order(a) - order(b));
  return reportOf(byTask(trials), byTask(gated), minutes);
}

/** By default each task at dusk with a number of labels, in turn; a few tasks are given all numbers. */
function plannedTrials(sites: readonly TaskSite[], { isAll, isLong }: Extent): readonly Planned[] {
  return sites.flatMap((site, place) =>
    (isLong && !isSlow(site.task) ? taskDrifts : (["dusk"] as const)).flatMap((drift) =>
      (drift === "another mix" ? [MIX_LABELS] : labelsOf(site.task, place, isAll)).map((labels) => ({
        site,
        drift,
        labels,
      })),
    ),
  );
}

function labelsOf({ frameSide }: Task, place: number, isAll: boolean): readonly number[] {
  if (isAll) return LABELS;
  if (frameSide > SMALL_SIDE) return LABELS.slice(0, 1);
  return LABELS.slice(1 + (place % 2), 2 + (place % 2));
}

async function atOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  const waiting = items.entries();
  const next = async () => {
    for (const [i, item] of waiting) results[i] = await work(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, next));
  return results;
}

async function trialOf({
  site,
  drift,
  labels,
}: Planned): Promise<{ readonly trial: Trial; readonly model: Uint8Array }> {
  const { result, model } = await site.train(drift, { labels, seed: 1 });
  const at = async (where: View) => [await site.shown(where), await site.shown(where, model)] as const;
  const [atSite, notThere] = [await at(drift), await at("elsewhere")];
  const [own, elsewhere] = [placeFigures(...atSite), placeFigures(...notThere)];
  const lost = elsewhere.before - own.before;
  const trial = {
    ...{ task: site.task.name, drift, labels, blend: result.blend ?? 1, nothing: result.nothing ?? null },
    photos: { labels: notThere[0].labels, gains: gainsOf(...notThere) },
    ...{ site: own, elsewhere, regained: lost < LOST_MIN ? null : (own.after - own.before) / lost },
    forecast: forecastRegained(Math.round(0.8 * labels), []),
    cpuSeconds: result.cpuSeconds ?? 0,
  };
  return { trial, model };
}

const outcomeWords = ({ nothing, blend, regained, elsewhere }: Trial): string =>
  nothing === null
    ? `blend ${blend}, ${regained === null ? "nothing was lost" : `${percent(regained)} regained`}, elsewhere ${points(changeOf(elsewhere))}`
    : `nothing: ${nothing}`;

function reportOf(trials: readonly Trial[], gated: readonly PoisonTrial[], minutes: number): BenchReport {
  return {
    tables: [trialTable(trials), poisonTable(gated)],
    gates: [...trialGates(trials), ...poisonGates(gated)],
    figures: { trials: trials.map(({ photos: _, ...trial }) => trial), gated },
    notes: [
      `Bounds are one-sided at 95 %. Of a class of 100 photos no bound is above ${percent(-LOSS_MAX)}, whatever is deployed: the gates ask for the bound of all trainings together, for proven harm of a class, and whether more classes look to lose more than that than chance explains.`,
      `${minutes.toFixed(1)} minutes on ${availableParallelism()} processors.`,
    ],
  };
}

function trialTable(trials: readonly Trial[]): Table {
  return {
    title: "Unseen photos, as deployed; a training that gives nothing changes nothing",
    columns: [
      ...["task", "drift", "labels", "blend", "site before", "site after", "regained", "forecast"],
      ...["elsewhere, points", "lower bound", "worst class elsewhere", "worst class at site", "CPU s"],
    ],
    rows: trials.map((trial) => {
      const { task, drift, labels, blend, site, elsewhere, regained, forecast } = trial;
      const worst = (place: PlaceFigures) =>
        `${points(changeOf(worstOf(place)))} (≥ ${points(lowerOf(worstOf(place)))})`;
      return [
        ...[task, drift, labels, blend === 0 ? "nothing" : blend, percent(site.before), percent(site.after)],
        ...[regained === null ? "-" : percent(regained), `${percent(forecast.low)} to ${percent(forecast.high)}`],
        ...[points(changeOf(elsewhere)), points(lowerOf(elsewhere)), worst(elsewhere), worst(site)],
        Math.round(trial.cpuSeconds),
      ];
    }),
  };
}

/** A task's trainings are summed: how many of them answer each photo of elsewhere better, less those that answer it worse. */
function netsByTask(trials: readonly Trial[]): readonly (Photos & { readonly trainings: number })[] {
  const nets = new Map<string, Photos & { readonly trainings: number }>();
  for (const { task, photos } of trials) {
    const { gains, trainings } = nets.get(task) ?? { gains: photos.gains.map(() => 0), trainings: 0 };
    nets.set(task, {
      labels: photos.labels,
      gains: photos.gains.map((gain, i) => gain + (gains[i] as number)),
      trainings: trainings + 1,
    });
  }
  return [...nets.values()];
}

function trialGates(trials: readonly Trial[]): readonly Gate[] {
  const places = trials.map(({ elsewhere }) => elsewhere);
  const nets = netsByTask(trials);
  const answers = places.reduce((sum, { frames }) => sum + frames, 0);
  const bound = lowerOfNets(
    nets.flatMap(({ gains }) => gains),
    answers,
  );
  const whole = provenLosses(places);
  const classes = provenLosses(places.flatMap((place) => place.classes));
  const seeming = seemingHarm(
    nets.flatMap(({ labels, gains, trainings }) =>
      [...new Set(labels)].map((label) => ({ nets: gains.filter((_, i) => labels[i] === label), trainings })),
    ),
  );
  const known = trials.flatMap(({ regained, forecast }) => (regained === null ? [] : [{ regained, forecast }]));
  const within = known.filter(
    ({ regained, forecast: { low, high } }) => regained >= low - 1e-9 && regained <= high,
  ).length;
  return [
    {
      name: `elsewhere, all trainings together: lower bound above ${points(-LOSS_MAX)} points`,
      passed: bound > -LOSS_MAX,
      measured: points(bound),
    },
    {
      name: `no training is proven to lose more than ${percent(LOSS_MAX)} elsewhere`,
      passed: whole.length === 0,
      measured: `${whole.length} of ${trials.length}`,
    },
    {
      name: `no class is proven to lose more than ${percent(LOSS_MAX)} elsewhere, at 5 % over all trainings`,
      passed: classes.length === 0,
      measured: `${classes.length}`,
    },
    {
      name: `no more classes look to lose more than ${percent(LOSS_MAX)} elsewhere, by all trainings of a task, than chance explains`,
      passed: seeming.p > ALPHA,
      measured: `${seeming.seeming}, by chance ${seeming.expected.toFixed(1)}`,
    },
    {
      name: "four of five trainings regain what was forecast",
      passed: known.length === 0 || clopperPearsonUpper(within, known.length, ALPHA) >= FORECASTS_MIN,
      measured: `${within} of ${known.length}`,
    },
  ];
}
