/** Wrong labels at the gate. Candidates are trained on labels of which a share is wrong, without the choice that would refuse them, once for each
 * kind and share; then the gate's frames, and their labels with as many wrong ones, are drawn anew 200 times. Beside them the
 * candidates of right labels, which the line of labels should not hold.
 *
 * Photos that are made to look like the site teach it with labels of the base set, so that a candidate gains there whatever people say. `labels alone`
 * trains without them, on hardly a base photo, for a site that has another mix of classes and looks as before: such candidates are worse indeed. */

import { softmax } from "@tributary/inference";
import { labelsLine, marginDefaults, type Probabilities, paired, sliceLines, sureFrames } from "@tributary/models/gate";
import type { Task } from "@tributary/tasks";
import type { Recipe } from "@tributary/training";
import { drawSome } from "@tributary/training/local";
import type { Gate, Table } from "../bench.ts";
import { percent, placeFigures, points, rightOf } from "./figures.ts";
import { ALPHA } from "./proven.ts";
import { isSlow, type Poison, poisoned, type Shown, type TaskDrift, type TaskSite } from "./task-site.ts";

/** Of the labels, people's errors are studied with so many; the gate has as many frames as a training's GATE. */
const LABELS = 200;
const GATE_FRAMES = 225;
/** Of the old slice, drawn as well. */
const OLD_FRAMES = 800;
const DRAWS = 200;
const SHARES = [0.1, 0.2, 0.3, 0.45] as const;
/** Of right labels, the line of labels is to let so many pass that would without it. */
const KEPT_MIN = 0.75;
type Way = { readonly drift: TaskDrift; readonly change: Partial<Recipe> };
/** Nothing is refused. */
const ANYTHING = { harm: { lossMax: 1, alpha: ALPHA, chance: 0 } } as const;
/** As the trainer learns, and as nobody would. */
const WAYS = {
  "as trained": { drift: "dusk", change: { ...ANYTHING, blends: [0.8] } },
  "labels alone": {
    drift: "another mix",
    change: {
      ...ANYTHING,
      blends: [1],
      matchedFramesPerBatch: 0,
      sliceFramesPerBatch: 112,
      distillation: 0,
      epochs: 40,
    },
  },
} as const satisfies Readonly<Record<string, Way>>;

export type PoisonPlan = { readonly poison: Poison; readonly way: keyof typeof WAYS };

/** By default a share or two of each task, in turn. */
export function poisonPlans(place: number, task: Task, isLong: boolean): readonly PoisonPlan[] {
  if (isSlow(task) && !isLong) return [];
  const kinds = task.labels.length === 2 ? (["random"] as const) : (["random", "swapped"] as const);
  if (!isLong) {
    return kinds.map((kind, i) => ({
      poison: { kind, share: SHARES[(place + 2 * i) % SHARES.length] as number },
      way: "labels alone",
    }));
  }
  return kinds.flatMap((kind) =>
    SHARES.flatMap((share) =>
      (["labels alone", "as trained"] as const)
        .filter((way) => way === "labels alone" || share === 0.3)
        .map((way) => ({ poison: { kind, share }, way })),
    ),
  );
}

export type PoisonTrial = {
  readonly task: string;
  readonly way: keyof typeof WAYS | "as chosen";
  /** Null: labels are right. */
  readonly poison: Poison | null;
  /** Change of accuracy by true labels. */
  readonly site: number;
  readonly elsewhere: number;
  /** Of the draws: as the gate answers. */
  readonly passed: number;
  readonly unsure: number;
  readonly failed: number;
  /** Of the draws: nothing but the old slice's few photos holds it. */
  readonly passedByLabels: number;
  /** The same without the line of labels. */
  readonly passedBySlice: number;
};

export async function poisonTrial(site: TaskSite, { poison, way }: PoisonPlan): Promise<PoisonTrial> {
  const { drift, change } = WAYS[way];
  const { model } = await site.train(drift, { labels: LABELS, seed: 1, poison, otherwise: { name: way, change } });
  return { ...(await gateDraws(site, { drift, model, poison })), way, poison };
}

/** Of a candidate of right labels, at dusk. */
export async function cleanTrial(site: TaskSite, model: Uint8Array): Promise<PoisonTrial> {
  return { ...(await gateDraws(site, { drift: "dusk", model, poison: null })), way: "as chosen", poison: null };
}

type Drawn = { readonly drift: TaskDrift; readonly model: Uint8Array; readonly poison: Poison | null };

async function gateDraws(site: TaskSite, { drift, model, poison }: Drawn) {
  const { task, temperature } = site;
  const [champion, candidate] = [await site.shown(drift), await site.shown(drift, model)];
  const [oldChampion, oldCandidate] = [await site.shown(null), await site.shown(null, model)];
  // Both by the champion's temperature: packing would find the candidate's.
  const probabilities = ({ logits }: Shown): Probabilities => logits.map((own) => [...softmax(own, temperature)]);
  const [own, other] = [probabilities(candidate), probabilities(champion)];
  const [newRight, oldRight] = [rightOf(oldCandidate), rightOf(oldChampion)];
  const counts = { passed: 0, unsure: 0, failed: 0 };
  let [passedByLabels, passedBySlice] = [0, 0];
  for (let draw = 1; draw <= DRAWS; draw++) {
    const at = drawSome(champion.labels.length, GATE_FRAMES, `gate ${draw}`);
    const ofDraw = <T>(all: readonly T[]) => at.map((i) => all[i] as T);
    const truths = ofDraw(champion.labels).map((label) => ({ label }));
    const labels = (poison === null ? truths : poisoned(truths, task, poison, draw)).map(({ label }) => label);
    const right = ({ logits }: Shown) => rightOf({ labels, logits: ofDraw(logits) });
    const drifted = { name: "site=north", ...paired(right(candidate), right(champion)) };
    const drawn = drawSome(oldRight.length, OLD_FRAMES, `old ${draw}`);
    const ofOld = (all: readonly boolean[]) => drawn.map((i) => all[i] === true);
    const base = { name: "base", ...paired(ofOld(newRight), ofOld(oldRight)) };
    const [baseLine, siteLine] = sliceLines({ old: [base], drifted: [drifted] }, marginDefaults).map(
      ({ verdict }) => verdict,
    );
    const sure = sureFrames(ofDraw(own), ofDraw(other), labels);
    const labelled = labelsLine("site=north", sure, marginDefaults, task.labels).verdict;
    const all = [baseLine, siteLine, labelled];
    const isBySlice = siteLine === "passed" && baseLine !== "failed";
    if (isBySlice) passedBySlice += 1 / DRAWS;
    if (isBySlice && labelled === "passed") passedByLabels += 1 / DRAWS;
    counts[all.includes("failed") ? "failed" : all.includes("unsure") ? "unsure" : "passed"] += 1 / DRAWS;
  }
  const changeAt = (before: Shown, after: Shown) => {
    const figures = placeFigures(before, after);
    return figures.after - figures.before;
  };
  return {
    ...{ task: task.name, ...counts, passedByLabels, passedBySlice },
    ...{ site: changeAt(champion, candidate), elsewhere: changeAt(oldChampion, oldCandidate) },
  };
}

export function poisonTable(trials: readonly PoisonTrial[]): Table {
  return {
    title: `Wrong labels in training and gate: ${DRAWS} draws of ${GATE_FRAMES} frames each; points by true labels`,
    columns: [
      ...["task", "wrong labels", "trained", "site, points", "elsewhere, points", "passes", "waits", "fails"],
      ...["passes, were the old slice proven", "the same without the line of labels"],
    ],
    rows: trials.map(({ task, poison, way, site, elsewhere, ...shares }) => [
      ...[task, poison === null ? "none" : `${percent(poison.share)} ${poison.kind}`, way],
      ...[points(site), points(elsewhere), percent(shares.passed), percent(shares.unsure), percent(shares.failed)],
      ...[percent(shares.passedByLabels), percent(shares.passedBySlice)],
    ]),
  };
}

export function poisonGates(trials: readonly PoisonTrial[]): readonly Gate[] {
  const most = (of: readonly PoisonTrial[], share: (one: PoisonTrial) => number) => Math.max(0, ...of.map(share));
  const atSite = trials.filter(({ site }) => site < 0);
  const elsewhere = trials.filter((trial) => trial.elsewhere <= -marginDefaults.sliceMax);
  const atSiteMost = most(atSite, ({ passedByLabels }) => passedByLabels);
  const elsewhereMost = most(elsewhere, ({ passed }) => passed);
  const clean = trials.filter(({ poison }) => poison === null);
  const sum = (of: (one: PoisonTrial) => number) => clean.reduce((total, one) => total + of(one), 0);
  const withoutLine = sum(({ passedBySlice }) => passedBySlice);
  const kept = sum(({ passedByLabels }) => passedByLabels) / Math.max(1e-9, withoutLine);
  return [
    {
      name: `nothing that is worse at the site passes, of ${DRAWS} draws each`,
      passed: atSite.length > 0 && atSiteMost === 0, // Without one that is worse nothing was asked.
      measured: `${atSite.length} are worse; at most ${percent(atSiteMost)} pass`,
    },
    {
      name: `nothing that is ${percent(marginDefaults.sliceMax)} worse elsewhere passes`,
      passed: elsewhereMost === 0,
      measured: `${elsewhere.length} are worse; at most ${percent(elsewhereMost)} pass`,
    },
    {
      name: `of right labels, the line of labels lets ${percent(KEPT_MIN)} pass of what would without it`,
      passed: withoutLine === 0 || kept >= KEPT_MIN,
      measured: withoutLine === 0 ? "none would" : percent(Math.min(1, kept)),
    },
  ];
}
