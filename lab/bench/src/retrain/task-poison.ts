/** Wrong labels at the gate. Of trainings on labels of which a share is wrong, every blend is a candidate, also those that the trainer would
 * not take; then the gate's frames, and their labels with as many wrong ones, are drawn anew 200 times. Beside them the candidates of
 * right labels, which the line of labels should not hold.
 *
 * Photos that are made to look like the site teach it with labels of the base set, so that a candidate gains there whatever people say. `labels alone`
 * trains without them, on hardly a base photo, for a site that has another mix of classes and looks as before: such candidates are worse indeed. */

import { softmax } from "@tributary/inference";
import { judgeGate, marginDefaults, type Probabilities, paired, sureFrames } from "@tributary/models/gate";
import { fitTemperature, mcNemarP } from "@tributary/statistics";
import type { Task } from "@tributary/tasks";
import type { Recipe } from "@tributary/training";
import { drawSome } from "@tributary/training/local";
import type { Gate, Table } from "../bench.ts";
import { type PlaceFigures, percent, placeFigures, points, rightOf } from "./figures.ts";
import { ALPHA, changeOf, provenLosses } from "./proven.ts";
import { isSlow, type Poison, poisoned, type TaskDrift, type TaskSite, type View } from "./task-site.ts";

/** Of the labels, people's errors are studied with so many; the gate has as many frames as a training's GATE. */
const LABELS = 200;
const GATE_FRAMES = 225;
/** Of the old slice, drawn as well. */
const OLD_FRAMES = 800;
const DRAWS = 200;
const SHARES = [0.1, 0.2, 0.3, 0.45] as const;
const BLENDS = [0.5, 1] as const;
/** The line of labels is to let so large a share of right labels pass that would without it. */
const KEPT_MIN = 0.75;
/** A champion that is right on less of a site contradicts right labels as it does wrong ones. */
const MOSTLY_RIGHT = 0.5;

type Way = { readonly drift: TaskDrift; readonly change: Partial<Recipe>; readonly steps?: number };
/** A candidate is trained as the trainer does it, or as nobody would. */
const WAYS = {
  "as trained": { drift: "dusk", change: { blends: BLENDS } },
  "labels alone": {
    drift: "another mix",
    change: { blends: BLENDS, matchedFramesPerBatch: 0, sliceFramesPerBatch: 112, distillation: 0 },
    // In the usual number of passes over 50 photos a model hardly moves.
    steps: 100,
  },
} as const satisfies Readonly<Record<string, Way>>;

export type PoisonPlan = { readonly poison: Poison; readonly way: keyof typeof WAYS };

/** `isAll`: by default a share and a kind of each task, in turn. */
export function poisonPlans(place: number, task: Task, { isAll, isLong }: Extent): readonly PoisonPlan[] {
  if (isSlow(task) && !isLong) return [];
  const kinds = task.labels.length === 2 ? (["random"] as const) : (["random", "swapped"] as const);
  const turn = place % kinds.length;
  return kinds.flatMap((kind, i) =>
    SHARES.filter((share) => isAll || (i === turn && share === SHARES[(place + 1) % SHARES.length])).flatMap((share) =>
      (["labels alone", "as trained"] as const)
        .filter((way) => way === "labels alone" || (isLong && share === 0.3))
        .map((way) => ({ poison: { kind, share }, way })),
    ),
  );
}

export type Extent = { readonly isAll: boolean; readonly isLong: boolean };

/** Shares of the draws. `unsure`: a person decides. */
type Answers = { readonly passed: number; readonly unsure: number; readonly failed: number };

export type PoisonTrial = Answers & {
  readonly task: string;
  readonly way: keyof typeof WAYS | "as chosen";
  /** Null: labels are right. */
  readonly poison: Poison | null;
  readonly blend: number | null;
  /** Accuracy of the champion at the site. */
  readonly before: number;
  /** Changes of accuracy by true labels. */
  readonly site: number;
  readonly elsewhere: number;
  readonly isProvenWorseAtSite: boolean;
  /** Classes that are proven to lose, by true labels. */
  readonly classesLost: number;
  /** Passes, were its old slice proven: that has few photos. */
  readonly passedByLabels: number;
  /** The same, and without the line of labels. */
  readonly passedBySlice: number;
};

/** Of both blends. */
export async function poisonTrials(site: TaskSite, { poison, way }: PoisonPlan): Promise<readonly PoisonTrial[]> {
  const { drift, ...otherwise } = WAYS[way];
  const models = await site.trainBlends(drift, {
    labels: LABELS,
    seed: 1,
    poison,
    otherwise: { name: way, ...otherwise },
  });
  const trials: PoisonTrial[] = [];
  for (const { blend, model } of models) {
    trials.push({ ...(await gateDraws(site, { drift, model, poison })), way, poison, blend });
  }
  return trials;
}

/** Of a candidate of right labels, at dusk. */
export async function cleanTrial(site: TaskSite, model: Uint8Array): Promise<PoisonTrial> {
  const drawn = await gateDraws(site, { drift: "dusk", model, poison: null });
  return { ...drawn, way: "as chosen", poison: null, blend: null };
}

type Drawn = { readonly drift: TaskDrift; readonly model: Uint8Array; readonly poison: Poison | null };

async function gateDraws(site: TaskSite, { drift, model, poison }: Drawn) {
  const { task } = site;
  const [champion, candidate] = [await answersOf(site, drift), await answersOf(site, drift, model)];
  const [oldChampion, oldCandidate] = [await answersOf(site, "elsewhere"), await answersOf(site, "elsewhere", model)];
  const counts = { passed: 0, unsure: 0, failed: 0 };
  let [passedByLabels, passedBySlice] = [0, 0];
  for (let draw = 1; draw <= DRAWS; draw++) {
    const own = drawSome(champion.labels.length, GATE_FRAMES, `gate ${draw}`);
    const truths = own.map((i) => ({ label: champion.labels[i] as number }));
    const labels = (poison === null ? truths : poisoned(truths, task, poison, draw)).map(({ label }) => label);
    const [ofChampion, ofCandidate] = [drawnOf(champion, own, labels), drawnOf(candidate, own, labels)];
    const sure = sureFrames(ofCandidate.probabilities, ofChampion.probabilities, labels);
    const old = drawSome(oldChampion.labels.length, OLD_FRAMES, `old ${draw}`);
    const lines = judgeGate({
      ...SAME,
      classes: task.labels,
      labels: old.map((i) => oldChampion.labels[i] as number),
      candidate: { ...drawnOf(oldCandidate, old), ...SAME_TIMES },
      champion: { ...drawnOf(oldChampion, old), ...SAME_TIMES },
      slices: {
        old: [{ name: "base", ...paired(drawnOf(oldCandidate, old).right, drawnOf(oldChampion, old).right) }],
        drifted: [{ name: "site=north", ...paired(ofCandidate.right, ofChampion.right), sure }],
      },
    }).lines;
    // A class without frames is unsure, of both models.
    const asked = lines.filter(({ candidate: rate }) => rate !== null);
    const isSound = asked.every(({ kind, slice, verdict }) =>
      slice?.role === "old" ? verdict !== "failed" : kind === "labels" || verdict === "passed",
    );
    if (isSound) passedBySlice += 1 / DRAWS;
    if (isSound && asked.every(({ kind, verdict }) => kind !== "labels" || verdict === "passed"))
      passedByLabels += 1 / DRAWS;
    const verdicts = asked.map(({ verdict }) => verdict);
    counts[verdicts.includes("failed") ? "failed" : verdicts.includes("unsure") ? "unsure" : "passed"] += 1 / DRAWS;
  }
  const [atSite, elsewhere] = [placeFigures(champion, candidate), placeFigures(oldChampion, oldCandidate)];
  return {
    ...{ task: task.name, ...counts, passedByLabels, passedBySlice },
    ...{
      before: atSite.before,
      site: changeOf(atSite),
      elsewhere: changeOf(elsewhere),
      classesLost: classesLost(atSite, elsewhere),
    },
    isProvenWorseAtSite: mcNemarP(atSite.lost, atSite.won) <= ALPHA,
  };
}

/** Frames are shown as they are, and both models are as fast as each other. */
const SAME = {
  corruptions: [],
  latencyBudgetMs: 1,
  latencySlaMs: null,
  golden: { frames: 1, failed: [] },
};
const SAME_TIMES = { latenciesMs: [1], megabytes: null };

type Answered = {
  readonly labels: readonly number[];
  readonly logits: readonly (readonly number[])[];
  readonly probabilities: Probabilities;
};

/** With the temperature that packing finds. */
async function answersOf(site: TaskSite, view: View, model?: Uint8Array): Promise<Answered> {
  const held = await site.shown("held out", model);
  const temperature = fitTemperature(
    held.logits.map((own) => Float32Array.from(own)),
    held.labels,
  );
  const shown = await site.shown(view, model);
  return { ...shown, probabilities: shown.logits.map((own) => [...softmax(own, temperature)]) };
}

/** `labels`: by default the true ones. */
function drawnOf(all: Answered, at: readonly number[], labels = at.map((i) => all.labels[i] as number)) {
  const probabilities = at.map((i) => all.probabilities[i] as readonly number[]);
  return {
    probabilities,
    right: rightOf({ labels, logits: at.map((i) => all.logits[i] as readonly number[]) }),
    confidence: probabilities.map((own) => Math.max(...own)),
  };
}

/** At the site a class may lose recall that it had for nothing: there its F1 has to fall as well. */
function classesLost(site: PlaceFigures, elsewhere: PlaceFigures): number {
  const groups = [
    ...site.classes.map((one) => ({ ...one, isHarm: one.f1 < 0 })),
    ...elsewhere.classes.map((one) => ({ ...one, isHarm: true })),
  ];
  return provenLosses(groups).filter((i) => groups[i]?.isHarm).length;
}

export function poisonTable(trials: readonly PoisonTrial[]): Table {
  return {
    title: `Wrong labels in training and gate: ${DRAWS} draws of ${GATE_FRAMES} frames each; points by true labels`,
    columns: [
      ...["task", "wrong labels", "trained", "blend", "site, points", "elsewhere, points", "classes that lost"],
      ...["passes", "waits", "fails", "passes, were the old slice proven", "the same without the line of labels"],
    ],
    rows: trials.map(({ task, poison, way, blend, site, elsewhere, classesLost, ...shares }) => [
      ...[task, poison === null ? "none" : `${percent(poison.share)} ${poison.kind}`, way, blend ?? "-"],
      ...[points(site), points(elsewhere), classesLost],
      ...[percent(shares.passed), percent(shares.unsure), percent(shares.failed)],
      ...[percent(shares.passedByLabels), percent(shares.passedBySlice)],
    ]),
  };
}

/** By true labels, of all unseen photos. */
const isWorse = ({ isProvenWorseAtSite, elsewhere, classesLost: lost }: PoisonTrial): boolean =>
  isProvenWorseAtSite || elsewhere <= -marginDefaults.sliceMax || lost > 0;

export function poisonGates(trials: readonly PoisonTrial[]): readonly Gate[] {
  const wrong = trials.filter(({ poison }) => poison !== null);
  const worse = wrong.filter(isWorse);
  const lower = wrong.filter(({ site }) => site < 0);
  const atSite = wrong.filter(({ isProvenWorseAtSite }) => isProvenWorseAtSite);
  const tasks = [...new Set(wrong.map(({ task }) => task))];
  const without = tasks.filter((name) => !worse.some(({ task }) => task === name));
  const most = (of: readonly PoisonTrial[], share: (one: PoisonTrial) => number) => Math.max(0, ...of.map(share));
  const clean = trials.filter(({ poison }) => poison === null);
  const usual = clean.filter(({ before }) => before >= MOSTLY_RIGHT);
  const sum = (of: readonly PoisonTrial[], share: (one: PoisonTrial) => number) =>
    of.reduce((total, one) => total + share(one), 0);
  const withoutLine = sum(usual, ({ passedBySlice }) => passedBySlice);
  const kept = sum(usual, ({ passedByLabels }) => passedByLabels) / Math.max(1e-9, withoutLine);
  const others = clean.filter(({ before }) => before < MOSTLY_RIGHT);
  const ofOthers = others.map(({ task, passedByLabels, passedBySlice }) => {
    return `; ${task}, on which it is mostly wrong: ${percent(passedByLabels)} of ${percent(passedBySlice)}`;
  });
  const passing = (of: readonly PoisonTrial[], share: (one: PoisonTrial) => number) =>
    `${of.length} are; ${of.filter((one) => share(one) > 0).length} ever pass, at most in ${percent(most(of, share))}`;
  const withoutLabels = most(atSite, ({ passedBySlice }) => passedBySlice);
  return [
    {
      name: "each task has a candidate that is worse",
      passed: tasks.length > 0 && without.length === 0, // Without one nothing is asked.
      measured: without.length === 0 ? `${tasks.length} tasks` : `none of ${without.join(", ")}`,
    },
    {
      name: `nothing that is proven worse, at the site or in a class, or loses ${percent(marginDefaults.sliceMax)} elsewhere, passes in ${DRAWS} draws`,
      passed: most(worse, ({ passed }) => passed) === 0,
      measured: passing(worse, ({ passed }) => passed),
    },
    {
      name: `what is less accurate at the site, proven or not, passes at most as often as the gate errs, ${percent(ALPHA)}`,
      passed: most(lower, ({ passed }) => passed) <= ALPHA,
      measured: passing(lower, ({ passed }) => passed),
    },
    {
      name: "nothing that is proven worse at the site passes, were the old slice proven",
      passed: most(atSite, ({ passedByLabels }) => passedByLabels) === 0,
      measured: `${passing(atSite, ({ passedByLabels }) => passedByLabels)}; without the line of labels in ${percent(withoutLabels)}`,
    },
    {
      name: `of right labels, where the champion is right on half of the photos, the line of labels lets ${percent(KEPT_MIN)} pass of what would without it`,
      passed: withoutLine === 0 || kept >= KEPT_MIN,
      measured: `${withoutLine === 0 ? "none would" : percent(Math.min(1, kept))}${ofOthers.join("")}`,
    },
  ];
}
