/** What both models of a task answer, by the path that frames take: camera JPEG, packed model, logits. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { frameOf, type LabelledPhoto, packTask, type Task } from "@tributary/tasks";
import { type JudgedPhoto, logitsOf } from "../routing/judged.ts";

export type TaskAnswers = {
  readonly task: Task;
  /** Packages are made with these. */
  readonly validation: readonly JudgedPhoto[];
  readonly seen: readonly JudgedPhoto[];
};

export async function taskAnswers(task: Task, progress: (line: string) => void): Promise<TaskAnswers> {
  progress(`${task.name}: its models become packages`);
  const folder = await mkdtemp(join(tmpdir(), "tributary-bench-task-"));
  try {
    const packed = await packTask(task, folder, () => {});
    const judged = async (photos: readonly LabelledPhoto[]): Promise<readonly JudgedPhoto[]> => {
      const jpegs = await Promise.all(photos.map(({ photo }) => frameOf(task, photo)));
      const edge = await logitsOf(packed.edge, jpegs, progress);
      const cloud = await logitsOf(packed.cloud, jpegs, progress);
      return photos.map(({ label }, i) => {
        return { label, edge: edge[i] as Float32Array, cloud: cloud[i] as Float32Array };
      });
    };
    return { task, validation: await judged(task.validation), seen: await judged(task.seen) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export const answerOf = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));
