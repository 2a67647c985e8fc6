/**
 * Tasks of other shapes than the sample's: few classes, unbalanced ones, few frames, a cloud that is hardly better.
 *
 * All are real photos with their labels and the answers of two trained models: those of lab/tasks, and some that are made of the
 * sample's photos. The latter have classes made of the sample's: a model's probability of one is the sum of those of its parts, as in a softmax over those alone.
 */
import { openTasks, taskNames } from "@tributary/tasks";
import { taskAnswers } from "../tasks/answers.ts";
import type { JudgedPhoto } from "./judged.ts";

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

/** The sample's photos and classes in the order of its models' answers. */
export type Sample = { readonly photos: readonly JudgedPhoto[]; readonly labels: readonly string[] };

/** `wanted`: "all", or as openTasks; otherwise words of names of tasks that are made of the sample's photos, which are judged only
 * where they are needed. */
export async function routingTasks(
  wanted: string,
  sample: () => Promise<Sample>,
  progress: (line: string) => void,
): Promise<readonly Task[]> {
  // The sample's own task is the first of those made of it.
  if (wanted === "all") {
    const others = taskNames.filter((name) => name !== "objects").join(",");
    return [...tasksOfSample(await sample()), ...(await committedTasks(others, progress))];
  }
  if (wanted.split(",").every((name) => name === "seen" || taskNames.includes(name.trim()))) {
    return committedTasks(wanted, progress);
  }
  const made = tasksOfSample(await sample());
  const chosen = made.filter(({ name }) => name.includes(wanted));
  if (chosen.length > 0) return chosen;
  const names = [...new Set(made.map(({ name }) => name))].join("; ");
  throw new Error(`--tasks ${wanted}: all, seen, of ${taskNames.join(", ")}, or words of one of: ${names}`);
}

async function committedTasks(choice: string, progress: (line: string) => void): Promise<readonly Task[]> {
  const tasks: Task[] = [];
  for (const task of await openTasks(choice)) {
    const { validation, seen } = await taskAnswers(task, progress);
    const frames = [...validation, ...seen].map((photo, i) => ({ ...photo, file: fileOf(i) }));
    tasks.push({ name: task.name, labels: task.labels, validation: validation.length, frames });
  }
  return tasks;
}

const fileOf = (i: number): string => `${String(i).padStart(5, "0")}.jpg`;

function tasksOfSample({ photos, labels }: Sample): readonly Task[] {
  const of = (groups: readonly (readonly number[])[], keep: readonly number[] = []) =>
    photos.flatMap((photo, i): TaskFrame[] => {
      const label = groups.findIndex((group) => group.includes(photo.label));
      if (label < 0 || i % (keep[label] ?? 1) !== 0) return [];
      return [{ file: fileOf(i), label, edge: merged(photo.edge, groups), cloud: merged(photo.cloud, groups) }];
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
  ];
}

/** ln of the sum of exponentials of each group. */
function merged(logits: Float32Array, groups: readonly (readonly number[])[]): Float32Array {
  return Float32Array.from(groups, (group) => {
    const top = Math.max(...group.map((label) => logits[label] ?? 0));
    return top + Math.log(group.reduce((sum, label) => sum + Math.exp((logits[label] ?? 0) - top), 0));
  });
}
