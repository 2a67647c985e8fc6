/** Packages with a codebook of faults: packed here by `tributary models pack`'s own code, from photos that no figure is taken of. */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FaultCodebook, ModelPackage } from "@tributary/inference";
import { packModel } from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import type { Task } from "../packing/tasks.ts";
import type { Photo } from "./observed.ts";

export type FaultyPackage = ModelPackage & { readonly faults: FaultCodebook };

export async function packed(
  folder: string,
  task: Pick<Task, "name" | "model" | "described" | "labels">,
  photos: readonly Photo[],
  progress: (line: string) => void,
): Promise<FaultyPackage> {
  const root = join(folder, createHash("sha256").update(task.name).digest("hex").slice(0, 8));
  const validation = join(root, "validation");
  await mkdir(validation, { recursive: true });
  const named: Record<string, string> = {};
  for (const [i, { jpeg, label }] of photos.entries()) {
    const file = `${String(i).padStart(5, "0")}.jpg`;
    named[file] = task.labels[label] as string;
    await writeFile(join(validation, file), jpeg);
  }
  const paths = {
    model: join(root, "model.onnx"),
    labels: join(root, "labels.json"),
    preprocess: join(root, "preprocess.json"),
  };
  await writeFile(join(validation, "labels.json"), JSON.stringify(named));
  await writeFile(paths.model, task.model);
  await writeFile(paths.labels, JSON.stringify(task.labels));
  await writeFile(paths.preprocess, JSON.stringify(task.described));
  const made = { version: "1.0.0", preprocessedBy: "jpeg", hardwareClass: "any", latencyBudgetMs: 50 } as const;
  const dir = join(root, "package");
  progress(`packing ${task.name}`);
  await packModel(dir, { name: task.name, ...paths, validation, ...made, threads: 2 }, () => {});
  const pkg = await loadPackage(dir);
  if (pkg.faults === null) throw new Error(`${task.name} was packed without a codebook of faults`);
  return { ...pkg, faults: pkg.faults };
}
