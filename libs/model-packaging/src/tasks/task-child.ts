/** The process of one task. It ends when it is done, and when the process that started it is gone. */
import { Failure, reasonOf } from "@tributary/kernel";
import { examinePackage } from "../checking/examine.ts";
import { runGate } from "../gating/gate.ts";
import { packModel } from "../packing/pack.ts";
import { examineSet } from "../validation/examine-set.ts";
import { hashPictures } from "../validation/hash-pictures.ts";
import type { Task, TaskMessage } from "./task.ts";

const send = (message: TaskMessage): Promise<void> =>
  new Promise((sent) => (process.send === undefined ? sent() : process.send(message, () => sent())));

process.on("disconnect", () => process.exit(1));
process.on("SIGINT", () => {}); // A terminal's; the starter decides.
process.once("message", (task: Task) => void run(task));

async function run(task: Task): Promise<void> {
  const progress = (line: string) => void send({ kind: "progress", line });
  try {
    await send({ kind: "done", result: await resultOf(task, progress) });
  } catch (error) {
    const [code, advice] =
      error instanceof Failure ? [error.code, error.advice] : ["task-failed", "ask-a-person" as const];
    await send({ kind: "failed", code, advice, message: reasonOf(error) });
  }
  process.exit(0);
}

function resultOf(task: Task, progress: (line: string) => void): Promise<unknown> {
  switch (task.kind) {
    case "examine":
      return examinePackage(
        task.dir,
        task.settings,
        task.digest === undefined ? {} : { digest: task.digest },
        progress,
      );
    case "gate":
      return runGate(task.options, task.margins, progress, task.gatesBefore);
    case "pack":
      return packModel(task.dir, task.options, progress);
    case "examine-set":
      return examineSet(task.dir, task.classes, progress);
    case "hash-pictures":
      return hashPictures(task.dir, progress);
    default:
      return task satisfies never;
  }
}
