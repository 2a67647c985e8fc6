/** A task's photos as folders of camera frames, and its models as packages. */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LABELS_FILE, packModel } from "@tributary/model-packaging";
import { frameOf, type LabelledPhoto, modelFiles, type Task } from "./tasks.ts";

/** JPEGs with their classes, as `tributary models pack` and `gate` read them. */
export async function writeFrames(task: Task, photos: readonly LabelledPhoto[], dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  const named: Record<string, string> = {};
  for (const [i, { photo, label }] of photos.entries()) {
    const file = `${String(i).padStart(5, "0")}.jpg`;
    await writeFile(join(dir, file), await frameOf(task, photo));
    named[file] = task.labels[label] as string;
  }
  await writeFile(join(dir, LABELS_FILE), JSON.stringify(named));
}

type Progress = (line: string) => void;

/** Writes the packages `edge` and `cloud` below `dir`, made with the validation photos. */
export async function packTask(
  task: Task,
  dir: string,
  progress: Progress,
): Promise<{ readonly edge: string; readonly cloud: string }> {
  const validation = await writeValidation(task, dir);
  const cloud = await packRole(task, "cloud", { dir, validation }, progress);
  const edge = await packRole(task, "edge", { dir, validation, cloud }, progress);
  await rm(validation, { recursive: true });
  return { edge, cloud };
}

/** The package `edge` alone, which then has no routing policy. */
export async function packEdge(task: Task, dir: string, progress: Progress): Promise<string> {
  const validation = await writeValidation(task, dir);
  const edge = await packRole(task, "edge", { dir, validation }, progress);
  await rm(validation, { recursive: true });
  return edge;
}

async function writeValidation(task: Task, dir: string): Promise<string> {
  const validation = join(dir, "validation");
  await writeFrames(task, task.validation, validation);
  return validation;
}

type Places = { readonly dir: string; readonly validation: string; readonly cloud?: string };

async function packRole(
  task: Task,
  role: "edge" | "cloud",
  { dir, ...places }: Places,
  progress: Progress,
): Promise<string> {
  const out = join(dir, role);
  const options = {
    ...modelFiles(task[role]),
    ...places,
    name: `${task.name}-${role}`,
    version: "1.0.0",
    preprocessedBy: "jpeg",
    hardwareClass: "generic",
    latencyBudgetMs: 1_000,
    threads: 1,
  } as const;
  await packModel(out, options, progress);
  return out;
}
