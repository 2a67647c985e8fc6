/**
 * Tasks of other shapes than the sample's: few classes, unbalanced ones, few frames, a cloud that is hardly better.
 *
 * All are real photos with their labels and the answers of two trained models. A task of the sample's photos has classes made
 * of the sample's: a model's probability of one is the sum of those of its parts, as in a softmax over those alone.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { packModel, validationFrames } from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import { type JudgedPhoto, logitsOf } from "./judged.ts";

export type TaskFrame = JudgedPhoto & { readonly file: string };

export type Task = {
  readonly name: string;
  readonly labels: readonly string[];
  /** Frames that a policy is packed from; the rest of the task's judge it. */
  readonly validation: number;
  readonly frames: readonly TaskFrame[];
};

const AIRPLANE = 0;
const AUTOMOBILE = 1;
const BIRD = 2;
const CAT = 3;
const DEER = 4;
const DOG = 5;
const FROG = 6;
const HORSE = 7;
const SHIP = 8;
const TRUCK = 9;
const MACHINES = [AIRPLANE, AUTOMOBILE, SHIP, TRUCK];
const ANIMALS = [BIRD, CAT, DEER, DOG, FROG, HORSE];
const REST = [...MACHINES, ...ANIMALS].filter((label) => label !== BIRD);
const each = (labels: readonly number[]) => labels.map((label) => [label]);

/** How far the near cloud is from the edge to the cloud. */
const NEAR = 0.35;
/** Taken from the near cloud's logit of one class. */
const NEAR_BIAS = 1;

export async function routingTasks(
  photos: readonly JudgedPhoto[],
  labels: readonly string[],
  progress: (line: string) => void,
): Promise<readonly Task[]> {
  const of = (groups: readonly (readonly number[])[], keep: readonly number[] = []) =>
    photos.flatMap((photo, i): TaskFrame[] => {
      const label = groups.findIndex((group) => group.includes(photo.label));
      if (label < 0 || i % (keep[label] ?? 1) !== 0) return [];
      const file = `${String(i).padStart(5, "0")}.jpg`;
      return [{ file, label, edge: merged(photo.edge, groups), cloud: merged(photo.cloud, groups) }];
    });
  const named = (groups: readonly (readonly number[])[]) => groups.map(([label]) => labels[label ?? 0] ?? "");
  const all = each(labels.map((_, label) => label));
  const near = of(all).map((frame) => ({
    ...frame,
    cloud: frame.edge.map((edge, label) => {
      const cloud = frame.cloud[label] ?? 0;
      return (1 - NEAR) * edge + NEAR * cloud - (label === CAT ? NEAR_BIAS : 0);
    }),
  }));
  return [
    { name: "10 classes", labels, validation: 2_500, frames: of(all) },
    { name: "cat or dog", labels: ["cat", "dog"], validation: 100, frames: of(each([CAT, DOG])) },
    { name: "cat or dog", labels: ["cat", "dog"], validation: 300, frames: of(each([CAT, DOG])) },
    { name: "bird or not, 1:9", labels: ["bird", "other"], validation: 1_000, frames: of([[BIRD], REST]) },
    // Of 2,000 machines every sixth: 3,000 animals beside 333 or so.
    {
      name: "animal or machine, 9:1",
      labels: ["animal", "machine"],
      validation: 394,
      frames: of([ANIMALS, MACHINES], [1, 6]),
    },
    { name: "6 animals", labels: named(each(ANIMALS)), validation: 600, frames: of(each(ANIMALS)) },
    { name: "4 machines", labels: named(each(MACHINES)), validation: 400, frames: of(each(MACHINES)) },
    { name: "10 classes, a cloud hardly better and worse on cats", labels, validation: 1_000, frames: near },
    { ...(await digits(progress)), name: "even or odd digit", validation: 300 },
  ];
}

/** ln of the sum of exponentials of each group. */
function merged(logits: Float32Array, groups: readonly (readonly number[])[]): Float32Array {
  return Float32Array.from(groups, (group) => {
    const top = Math.max(...group.map((label) => logits[label] ?? 0));
    return top + Math.log(group.reduce((sum, label) => sum + Math.exp((logits[label] ?? 0) - top), 0));
  });
}

const DIGITS = fileURLToPath(new URL("../../../../samples/digits/", import.meta.url));

/** The second sample pair, packed as the guide does it, on all its held-out photos. */
async function digits(progress: (line: string) => void): Promise<Pick<Task, "labels" | "frames">> {
  progress("the digits become JPEGs and their models packages");
  const folder = await mkdtemp(join(tmpdir(), "tributary-bench-digits-"));
  try {
    for (const split of ["validation", "test"]) {
      const { status, stderr } = spawnSync(process.execPath, [join(DIGITS, "frames.mjs"), split, join(folder, split)]);
      if (status !== 0) throw new Error(`samples/digits/frames.mjs ${split}: ${stderr}`);
    }
    for (const role of ["edge", "cloud"]) {
      const options = {
        model: join(DIGITS, role, "model.onnx"),
        labels: join(DIGITS, role, "labels.txt"),
        preprocess: join(DIGITS, role, "preprocess.json"),
        validation: join(folder, "validation"),
        version: "1.0.0",
        preprocessedBy: "jpeg",
        hardwareClass: "generic",
        latencyBudgetMs: 1_000,
        threads: 2,
      } as const;
      await packModel(join(folder, role), options, () => {});
    }
    const { labels } = await loadPackage(join(folder, "edge"));
    const splits = ["validation", "test"].map((split) => validationFrames(join(folder, split), labels));
    const frames = (await Promise.all(splits)).flat();
    const jpegs = await Promise.all(frames.map(({ path }) => readFile(path)));
    const edge = await logitsOf(join(folder, "edge"), jpegs, progress);
    const cloud = await logitsOf(join(folder, "cloud"), jpegs, progress);
    return {
      labels,
      frames: frames.map(({ file, label }, i) => ({
        file,
        label,
        edge: edge[i] ?? new Float32Array(),
        cloud: cloud[i] ?? new Float32Array(),
      })),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
