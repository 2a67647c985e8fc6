/** `bench retrain --tasks`: trainings of tasks of other shapes than the sample's, each with what the trainer chooses by itself, and the gate
 * under wrong labels.
 *
 * A training either regains something at the site, or states that it gives nothing; what it costs, by class and place, is measured on photos that
 * nothing else used. Of wrong labels, candidates are trained without the choice that would refuse them, once for each kind and share; then
 * the gate's frames and their wrong labels are drawn anew 200 times. */
import { availableParallelism } from "node:os";
import { type Answers, labelsLine, marginDefaults, paired, sliceLines, sureFrames } from "@tributary/models/gate";
import { calibrate } from "@tributary/routing";
import { clopperPearsonUpper, holmAdjusted, mcNemarP, tangoLower } from "@tributary/statistics";
import { openTasks } from "@tributary/tasks";
import { type Forecast, forecastRegained } from "@tributary/training";
import { drawSome } from "@tributary/training/local";
import type { BenchReport, Gate } from "../bench.ts";
import { type Poison, poisoned, type Shown, type TaskDrift, TaskSite, taskDrifts } from "./task-site.ts";

const LABELS = [100, 200, 400] as const;
const LOSS_MAX = 0.005;
const ALPHA = 0.05;
/** Of the labels, people's errors are studied with so many; the gate has as many frames as a training's GATE. */
const POISON_LABELS = 200;
const GATE_FRAMES = 225;
/** Of the old slice, drawn as well; a task has too few to prove a margin of two points. */
const OLD_FRAMES = 800;
const DRAWS = 200;
const POISON_SHARES = [0, 0.1, 0.2, 0.3, 0.45] as const;
/** Below it a site lost too little for a share of it to mean anything. */
const LOST_MIN = 0.02;

type Counted = { readonly frames: number; readonly won: number; readonly lost: number };
type PlaceFigures = Counted & { readonly before: number; readonly after: number; readonly classes: readonly Counted[] };

type Trial = {
  readonly task: string;
  readonly drift: TaskDrift;
  readonly labels: number;
  readonly seed: number;
  readonly blend: number;
  readonly nothing: string | null;
  readonly site: PlaceFigures;
  readonly elsewhere: PlaceFigures;
  /** Null: next to nothing was lost. */
  readonly regained: number | null;
  readonly forecast: Forecast;
  readonly cpuSeconds: number;
};

type PoisonTrial = {
  readonly task: string;
  readonly poison: Poison;
  /** It gives nothing even so: no gate is asked. */
  readonly isNothing: boolean;
  /** Change of accuracy at the site, by true labels. */
  readonly change: number;
  /** Of the draws. */
  readonly passed: number;
  readonly unsure: number;
  readonly failed: number;
  /** By the slice's own line, without that of labels. */
  readonly passedWithoutLabels: number;
};

export type TasksOptions = {
  readonly choice: string;
  readonly isLong: boolean;
  readonly dir: string;
  readonly progress: (line: string) => void;
};

export async function benchTasks({ choice, isLong, dir, progress }: TasksOptions): Promise<BenchReport> {
  const tasks = await openTasks(choice);
  const sites = new Map<string, TaskSite>();
  for (const task of tasks) sites.set(task.name, await TaskSite.open(task, dir, progress));
  const drifts = isLong ? taskDrifts : (["dusk"] as const);
  const seeds = isLong ? [1, 2, 3] : [1];
  const shares = isLong ? POISON_SHARES : ([0, 0.3, 0.45] as const);
  const planned = [...sites.values()].flatMap((site) =>
    drifts.flatMap((drift) => LABELS.flatMap((labels) => seeds.map((seed) => ({ site, drift, labels, seed })))),
  );
  const wrong = [...sites.values()].flatMap((site) =>
    (["random", "swapped"] as const).flatMap((kind) =>
      shares.filter((share) => share > 0 || kind === "random").map((share) => ({ site, poison: { kind, share } })),
    ),
  );
  const trials = await atOnce(planned, async (one) => {
    const trial = await trialOf(one);
    progress(`${trial.task}, ${trial.drift}, ${trial.labels} labels: ${outcomeWords(trial)}`);
    return trial;
  });
  const poisons = await atOnce(wrong, async ({ site, poison }) => {
    const trial = await poisonTrial(site, poison);
    progress(`${trial.task}, ${100 * poison.share} % ${poison.kind}: passed ${percent(trial.passed)}`);
    return trial;
  });
  return reportOf(trials, poisons);
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
  seed,
}: {
  readonly site: TaskSite;
  readonly drift: TaskDrift;
  readonly labels: number;
  readonly seed: number;
}): Promise<Trial> {
  const { result, model } = await site.train(drift, { labels, seed });
  const at = async (where: TaskDrift | null) =>
    figuresOf(site.task.labels.length, await site.shown(where), await site.shown(where, model));
  const [own, elsewhere] = [await at(drift), await at(null)];
  const lost = elsewhere.before - own.before;
  return {
    ...{ task: site.task.name, drift, labels, seed, blend: result.blend ?? 1, nothing: result.nothing ?? null },
    ...{ site: own, elsewhere, regained: lost < LOST_MIN ? null : (own.after - own.before) / lost },
    forecast: forecastRegained(Math.round(0.8 * labels), []),
    cpuSeconds: result.cpuSeconds ?? 0,
  };
}

function figuresOf(classes: number, before: Shown, after: Shown): PlaceFigures {
  const right = ({ labels, logits }: Shown) =>
    labels.map((label, i) => answer(logits[i] as readonly number[]) === label);
  const [old, own] = [right(before), right(after)];
  const countOf = (at: readonly number[]): Counted => {
    const { frames, won, lost } = paired(
      at.map((i) => own[i] === true),
      at.map((i) => old[i] === true),
    );
    return { frames, won, lost };
  };
  const share = (all: readonly boolean[]) => all.filter(Boolean).length / Math.max(1, all.length);
  const all = [...before.labels.keys()];
  return {
    ...countOf(all),
    ...{ before: share(old), after: share(own) },
    classes: Array.from({ length: classes }, (_, label) => countOf(all.filter((i) => before.labels[i] === label))),
  };
}

const answer = (logits: readonly number[]): number => logits.indexOf(Math.max(...logits));

async function poisonTrial(site: TaskSite, poison: Poison): Promise<PoisonTrial> {
  const { task } = site;
  const change = { blends: [0.8], harm: { lossMax: 1, alpha: ALPHA, chance: 0 } };
  const { model, result } = await site.train("dusk", { labels: POISON_LABELS, seed: 1, poison, change });
  const show = async (drift: TaskDrift | null) => ({
    champion: await site.shown(drift),
    candidate: await site.shown(drift, model),
  });
  const [slice, old] = [await show("dusk"), await show(null)];
  const rightOf = (shown: Shown, labels = shown.labels) =>
    labels.map((label, i) => answer(shown.logits[i] as readonly number[]) === label);
  const [newRight, oldRight] = [rightOf(old.candidate), rightOf(old.champion)];
  const verdicts = { passed: 0, unsure: 0, failed: 0 };
  let passedWithoutLabels = 0;
  for (let draw = 1; draw <= DRAWS; draw++) {
    const at = drawSome(slice.champion.labels.length, GATE_FRAMES, `gate ${draw}`);
    const some = (shown: Shown): Shown => ({
      labels: at.map((i) => shown.labels[i] as number),
      logits: at.map((i) => shown.logits[i] as readonly number[]),
    });
    const [champion, candidate] = [some(slice.champion), some(slice.candidate)];
    const labels = poisoned(
      champion.labels.map((label) => ({ label })),
      task,
      poison,
      draw,
    ).map(({ label }) => label);
    const drifted = { name: "site=north", ...paired(rightOf(candidate, labels), rightOf(champion, labels)) };
    const drawn = drawSome(oldRight.length, OLD_FRAMES, `old ${draw}`);
    const ofDrawn = (all: readonly boolean[]) => drawn.map((i) => all[i] === true);
    const base = { name: "base", ...paired(ofDrawn(newRight), ofDrawn(oldRight)) };
    const lines = sliceLines({ old: [base], drifted: [drifted] }, marginDefaults);
    // The base slice of a task has too few photos to prove anything: here it only fails, and never waits for a person.
    const own = lines.map(({ slice: { role }, verdict }) =>
      role === "old" && verdict === "unsure" ? "passed" : verdict,
    );
    const sure = sureFrames(answersOf(candidate, site), answersOf(champion, site), labels);
    const all = [...own, labelsLine("site=north", sure, marginDefaults).verdict];
    if (own.every((verdict) => verdict === "passed")) passedWithoutLabels += 1 / DRAWS;
    verdicts[all.includes("failed") ? "failed" : all.includes("unsure") ? "unsure" : "passed"] += 1 / DRAWS;
  }
  const { before, after } = figuresOf(task.labels.length, slice.champion, slice.candidate);
  return {
    task: task.name,
    poison,
    isNothing: result.nothing !== undefined,
    change: after - before,
    ...verdicts,
    passedWithoutLabels,
  };
}

/** Both by the champion's temperature: packing would find the candidate's. */
function answersOf({ logits }: Shown, { temperature }: TaskSite): Answers {
  const all = logits.map((own) => calibrate(own, temperature));
  return { answers: all.map(({ labelIndex }) => labelIndex), confidence: all.map(({ confidence }) => confidence) };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const points = (share: number): string => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;
const changeOf = ({ won, lost, frames }: Counted): number => (won - lost) / Math.max(1, frames);
const lowerOf = ({ won, lost, frames: items }: Counted): number => tangoLower({ won, lost, items }, ALPHA);
/** The change is at most this, at the same level. */
const upperOf = ({ won, lost, frames: items }: Counted): number => -tangoLower({ won: lost, lost: won, items }, ALPHA);

const outcomeWords = ({ nothing, blend, regained, elsewhere }: Trial): string =>
  nothing === null
    ? `blend ${blend}, ${regained === null ? "nothing was lost" : `${percent(regained)} regained`}, elsewhere ${points(changeOf(elsewhere))}`
    : `nothing: ${nothing}`;

/** Classes of a place that are proven to have lost more than is allowed (Holm over its classes). */
function harmedClasses({ classes }: PlaceFigures): number {
  const ps = holmAdjusted(classes.map(({ won, lost }) => mcNemarP(lost, won)));
  return classes.filter((one, i) => (ps[i] as number) <= ALPHA && upperOf(one) < -LOSS_MAX).length;
}

function worstOf({ classes }: PlaceFigures): Counted {
  return classes.filter(({ frames }) => frames > 0).reduce((a, b) => (changeOf(b) < changeOf(a) ? b : a));
}

function reportOf(trials: readonly Trial[], poisons: readonly PoisonTrial[]): BenchReport {
  const trained = {
    title: "Unseen photos, as deployed; a training that gives nothing changes nothing",
    columns: [
      ...["task", "drift", "labels", "seed", "blend", "site before", "site after", "regained", "forecast"],
      ...["elsewhere, points", "lower bound", "worst class elsewhere", "worst class at site", "proven harm", "CPU s"],
    ],
    rows: trials.map((trial) => {
      const { task, drift, labels, seed, blend, site, elsewhere, regained, forecast } = trial;
      const worst = (place: PlaceFigures) =>
        `${points(changeOf(worstOf(place)))} (≥ ${points(lowerOf(worstOf(place)))})`;
      return [
        ...[task, drift, labels, seed, blend === 0 ? "nothing" : blend, percent(site.before), percent(site.after)],
        ...[regained === null ? "-" : percent(regained), `${percent(forecast.low)} to ${percent(forecast.high)}`],
        ...[points(changeOf(elsewhere)), points(lowerOf(elsewhere)), worst(elsewhere), worst(site)],
        ...[harmedClasses(elsewhere) + harmedClasses(site), Math.round(trial.cpuSeconds)],
      ];
    }),
  };
  const gated = {
    title: `Wrong labels in training and gate: ${DRAWS} draws of ${GATE_FRAMES} frames each`,
    columns: [
      "task",
      "wrong labels",
      "share",
      "site, points (true labels)",
      "passes",
      "waits",
      "fails",
      "passes without the line of labels",
    ],
    rows: poisons.map(({ task, poison, isNothing, change, passed, unsure, failed, passedWithoutLabels }) => [
      ...[
        task,
        poison.share === 0 ? "none" : poison.kind,
        percent(poison.share),
        isNothing ? "gives nothing" : points(change),
      ],
      ...[percent(passed), percent(unsure), percent(failed), percent(passedWithoutLabels)],
    ]),
  };
  return {
    tables: [trained, gated],
    gates: gatesOf(trials, poisons),
    figures: { trials, poisons },
    notes: [
      `Bounds are one-sided at 95 %. A class of 170 photos can be shown to lose less than ${percent(LOSS_MAX)} only where hardly a prediction changes: the gates ask for proven harm, and for the bound of all trainings together.`,
    ],
  };
}

function gatesOf(trials: readonly Trial[], poisons: readonly PoisonTrial[]): readonly Gate[] {
  const sum = (all: readonly Counted[], of: (one: Counted) => number) => all.reduce((total, one) => total + of(one), 0);
  const elsewhere = trials.map((trial) => trial.elsewhere);
  const pooled = {
    frames: sum(elsewhere, ({ frames }) => frames),
    won: sum(elsewhere, ({ won }) => won),
    lost: sum(elsewhere, ({ lost }) => lost),
  };
  const harmed = trials.filter((trial) => upperOf(trial.elsewhere) < -LOSS_MAX);
  const classes = sum(elsewhere, (place) => harmedClasses(place as PlaceFigures));
  const known = trials.flatMap(({ regained, forecast }) => (regained === null ? [] : [{ regained, forecast }]));
  const within = known.filter(
    ({ regained, forecast: { low, high } }) => regained >= low - 1e-9 && regained <= high,
  ).length;
  const worse = poisons.filter(({ change }) => change < 0);
  const passed = Math.max(0, ...worse.map((one) => one.passed));
  const clean = poisons.filter(({ poison, passedWithoutLabels }) => poison.share === 0 && passedWithoutLabels > 0);
  const kept =
    clean.reduce((all, one) => all + one.passed, 0) /
    Math.max(
      1e-9,
      clean.reduce((all, one) => all + one.passedWithoutLabels, 0),
    );
  return [
    {
      name: "elsewhere, all trainings together: lower bound above -.5 points",
      passed: lowerOf(pooled) > -LOSS_MAX,
      measured: points(lowerOf(pooled)),
    },
    {
      name: "no training is proven to lose more than .5 points elsewhere",
      passed: harmed.length === 0,
      measured: `${harmed.length} of ${trials.length}`,
    },
    { name: "no class is proven to lose more than .5 points elsewhere", passed: classes === 0, measured: `${classes}` },
    {
      name: "four of five trainings regain what was forecast",
      passed: known.length === 0 || clopperPearsonUpper(within, known.length, ALPHA) >= 0.8,
      measured: `${within} of ${known.length}`,
    },
    {
      name: "no candidate that is worse at the site passes, of 200 draws each",
      passed: passed === 0,
      measured: `${worse.length} worse; at most ${percent(passed)} pass`,
    },
    {
      name: "of right labels, the line of labels lets three of four pass that would without it",
      passed: clean.length === 0 || kept >= 0.75,
      measured: percent(Math.min(1, kept)),
    },
  ];
}
