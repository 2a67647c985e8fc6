/**
 * Three trainings of one site, chosen by the code of the trainer: how many of the frames that a candidate learns also judge it.
 *
 * A site has cameras that people label each month; some pictures look like earlier ones, and people pushed some of its frames as
 * validation frames. Every second candidate becomes champion, whose GATE frames join the validation set. A candidate is judged by the
 * validation set and by its own GATE frames. The control chooses as if it were the first training.
 */
import { type Random, seededRandom } from "@tributary/kernel";
import { percent } from "@tributary/testing";
import {
  type ChosenFrame,
  choiceDefaults,
  chooseFrames,
  type FrameCandidate,
  type UsedFrame,
  unjudged,
  usesOf,
} from "@tributary/training/dataset";
import type { Gate, Table } from "../bench.ts";

const SITES = { quick: 20, long: 200 } as const;
const TRAININGS = 3;
/** Cameras: with many, a device is in one split; with few, a block of time. */
const CAMERAS = [25, 4] as const;
const LABELS_A_MONTH = 900;
/** Of a month's pictures, those that look like an earlier one. */
const ALIKE_SHARE = 0.1;
/** Validation frames that people pushed: of elsewhere, and of the site. */
const PUSHED = { elsewhere: 400, site: 20 } as const;
const { hashDistanceMax } = choiceDefaults;

type Counts = {
  learned: number;
  shared: number;
  alike: number;
  tuned: number;
  tunedShared: number;
  newGate: number;
  gate: number;
};
type Row = {
  readonly cameras: number;
  readonly training: number;
  readonly isControl: boolean;
  readonly counts: Counts;
};

const noCounts = (): Counts => ({ learned: 0, shared: 0, alike: 0, tuned: 0, tunedShared: 0, newGate: 0, gate: 0 });

export function laterTrainings(isLong: boolean): {
  readonly sites: number;
  readonly table: Table;
  readonly gates: readonly Gate[];
  readonly figures: unknown;
} {
  const sites = isLong ? SITES.long : SITES.quick;
  const rows: Row[] = [];
  let refused = 0;
  for (const cameras of CAMERAS) {
    for (const isControl of [false, true]) {
      const counts = Array.from({ length: TRAININGS }, noCounts);
      for (let site = 0; site < sites; site++) {
        refused += trainedSite({ cameras, isControl, seed: 1_000 * cameras + site }, counts);
      }
      for (const [i, of] of counts.entries()) if (i > 0) rows.push({ cameras, training: i + 1, isControl, counts: of });
    }
  }
  return { sites: CAMERAS.length * sites, table: tableOf(rows, sites), gates: gatesOf(rows, refused), figures: rows };
}

type SiteOptions = { readonly cameras: number; readonly isControl: boolean; readonly seed: number };

/** Trainings that were refused. */
function trainedSite({ cameras, isControl, seed }: SiteOptions, counts: readonly Counts[]): number {
  const random = seededRandom(seed);
  const archive: FrameCandidate[] = [];
  const validation: UsedFrame[] = Array.from({ length: PUSHED.elsewhere }, () => {
    return { use: "judged", digest: hex(random, 64), pictureHash: hex(random, 16), deviceId: "" };
  });
  const datasets: UsedFrame[] = [];
  let refused = 0;
  for (const [i, own] of counts.entries()) {
    labelMonth(archive, i, cameras, random);
    if (i === 0) validation.push(...archive.slice(0, PUSHED.site).map((frame) => used(frame, "judged", "")));
    const history = [...validation, ...datasets];
    const chosen = chosenOf(archive, isControl ? [] : history, `run-${seed}-${i}`);
    if (chosen === null) {
      refused += 1;
      continue;
    }
    const gate = chosen.filter(({ split }) => split === "GATE").map((frame) => used(frame, "judged", frame.deviceId));
    count(own, chosen, [...validation, ...gate], history);
    if (i % 2 === 0) validation.push(...gate);
    datasets.push(...chosen.map((frame) => used(frame, frame.split === "GATE" ? "judged" : "trained", frame.deviceId)));
  }
  return refused;
}

/** As services/trainer/src/datasets/freezer.ts chooses; null: refused. */
function chosenOf(archive: readonly FrameCandidate[], history: readonly UsedFrame[], seed: string) {
  const unhashed = archive.map(({ pictureHash, ...frame }) => ({ ...frame, of: pictureHash }));
  const { frames, judged: judgedMoments } = unjudged(unhashed, history, hashDistanceMax);
  const candidates = frames.map(({ of: pictureHash, ...frame }) => ({ ...frame, pictureHash }));
  const choice = chooseFrames({
    ...{ slice: "site=north", candidates, settings: choiceDefaults, seed, used: history, judgedMoments },
  });
  return choice.kind === "chosen" ? choice.frames : null;
}

function count(
  own: Counts,
  chosen: readonly ChosenFrame[],
  judges: readonly UsedFrame[],
  history: readonly UsedFrame[],
) {
  const digests = new Set(judges.map(({ digest }) => digest));
  const sharedOf = (frames: readonly ChosenFrame[]) => frames.filter(({ digest }) => digests.has(digest)).length;
  const inSplit = (split: string) => chosen.filter((frame) => frame.split === split);
  const [train, tune, gate] = [inSplit("TRAIN"), inSplit("TUNE"), inSplit("GATE")];
  own.learned += train.length;
  own.shared += sharedOf(train);
  own.tuned += tune.length;
  own.tunedShared += sharedOf(tune);
  own.alike += usesOf([...train, ...tune], judges, hashDistanceMax).size - sharedOf([...train, ...tune]);
  own.gate += gate.length;
  own.newGate += gate.length - usesOf(gate, history, hashDistanceMax).size;
}

function labelMonth(archive: FrameCandidate[], month: number, cameras: number, random: Random): void {
  for (let i = 0; i < LABELS_A_MONTH; i++) {
    const like = random() < ALIKE_SHARE ? archive[Math.floor(random() * archive.length)] : undefined;
    const deviceId = like?.deviceId ?? `cam-${i % cameras}`;
    archive.push({
      frameId: `${deviceId}:1:front:${LABELS_A_MONTH * month + i + 1}`,
      deviceId,
      digest: hex(random, 64),
      pictureHash: like === undefined ? hex(random, 16) : flipped(like.pictureHash, random),
      receivedAt: LABELS_A_MONTH * month + i,
      sampleDrawn: true,
      samplePropensity: 0.05,
      label: like?.label ?? (random() < 0.5 ? "cat" : "dog"),
      source: "PERSON",
    });
  }
}

const used = ({ digest, pictureHash }: FrameCandidate, use: UsedFrame["use"], deviceId: string): UsedFrame => ({
  ...{ use, digest, pictureHash, deviceId },
});

const hex = (random: Random, digits: number): string =>
  Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join("");

/** One or two bits of it. */
function flipped(hash: string, random: Random): string {
  const place = () => 1n << BigInt(Math.floor(random() * 64));
  return (BigInt(`0x${hash}`) ^ (place() | place())).toString(16).padStart(16, "0");
}

const tableOf = (rows: readonly Row[], sites: number): Table => ({
  title: `Later trainings of a site: frames that are learned and judge the candidate (${sites} sites a row)`,
  columns: ["training", "cameras", "history", "TRAIN too", "TUNE too", "look like one", "new in GATE", "GATE frames"],
  rows: rows.map(({ cameras, training, isControl, counts }) => [
    training,
    cameras,
    isControl ? "ignored (control)" : "known",
    `${counts.shared} (${percent(counts.shared / counts.learned)})`,
    `${counts.tunedShared} (${percent(counts.tunedShared / counts.tuned)})`,
    counts.alike,
    percent(counts.newGate / counts.gate),
    Math.round(counts.gate / sites),
  ]),
});

function gatesOf(rows: readonly Row[], refused: number): readonly Gate[] {
  const both = ({ shared, tunedShared, alike }: Counts) => shared + tunedShared + alike;
  const sum = (of: readonly Row[]) => of.reduce((total, { counts }) => total + both(counts), 0);
  const known = rows.filter(({ isControl }) => !isControl);
  const fewest = Math.min(...rows.filter(({ isControl }) => isControl).map(({ counts }) => both(counts)));
  const old = known.reduce((total, { counts }) => total + counts.gate - counts.newGate, 0);
  const shared = sum(known);
  return [
    {
      name: "later trainings: no frame is learned and judges the candidate",
      passed: shared === 0,
      measured: `${shared}`,
    },
    {
      name: "later trainings: the control shares frames, each row",
      passed: fewest > 0,
      measured: `at least ${fewest}`,
    },
    { name: "later trainings: every GATE frame is new", passed: old === 0, measured: `${old} others` },
    { name: "later trainings: none is refused", passed: refused === 0, measured: `${refused}` },
  ];
}
