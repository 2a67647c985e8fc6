/** The process of one training. It gives way to whatever else wants the processor, and ends with the process that started it. */
import { access, readFile } from "node:fs/promises";
import { constants, setPriority } from "node:os";
import { join } from "node:path";
import { Failure, reasonOf } from "@tributary/kernel";
import { RESULT_FILE, type TrainingResult } from "@tributary/training";
import sharp from "sharp";
import { CANCELLED_FILE, type OwnedProcess, takeProcess } from "./jobs/process-files.ts";
import type { ChildMessage, ChildTask, LocalTrainingProgress } from "./local-training.ts";
import { checkpointStep } from "./training/checkpoint.ts";
import { failure } from "./training/failures.ts";
import { train } from "./training/train.ts";

const REPORT_MS = 200;
const BEAT_MS = 5_000;

const send = (message: ChildMessage): Promise<void> =>
  new Promise((sent) => (process.send === undefined ? sent() : process.send(message, () => sent())));

sharp.concurrency(1);
sharp.cache(false);
// Before ONNX Runtime starts its threads, which inherit it.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
process.on("disconnect", () => process.exit(1));
process.on("SIGINT", () => {}); // A terminal's; the starter decides.
process.once("message", (task: ChildTask) => void run(task));

async function run(task: ChildTask): Promise<void> {
  try {
    await send({ kind: "done", result: await resultOf(task) });
  } catch (error) {
    await sendFailure(error);
  }
  process.exit(0);
}

async function resultOf({ training, processesDir }: ChildTask): Promise<TrainingResult> {
  if (processesDir === null) return train(training, { assertOwned: async () => {}, report: reporter() });
  const owned = await takeProcess(processesDir, await checkpointStep(training.outDir));
  if (owned === null) {
    throw failure("training-superseded", "retry", `another process works on ${processesDir}`);
  }
  const known = await readFile(join(training.outDir, RESULT_FILE), "utf8").catch(() => null);
  if (known !== null) return JSON.parse(known) as TrainingResult;
  const assertOwned = () => stillWanted(processesDir, owned);
  setInterval(
    () => void assertOwned().catch((error) => sendFailure(error).then(() => process.exit(0))),
    BEAT_MS,
  ).unref();
  return train(training, { assertOwned, report: reporter() });
}

async function stillWanted(processesDir: string, owned: OwnedProcess): Promise<void> {
  if (!(await owned.beat())) {
    throw failure("training-superseded", "retry", `another process took over ${processesDir}`);
  }
  const isCancelled = await access(join(processesDir, CANCELLED_FILE)).then(
    () => true,
    () => false,
  );
  if (isCancelled) throw failure("training-stopped", "give-up", "it was cancelled");
}

function sendFailure(error: unknown): Promise<void> {
  const [code, advice] =
    error instanceof Failure ? [error.code, error.advice] : (["training-failed", "ask-a-person"] as const);
  return send({ kind: "failed", code, advice, message: reasonOf(error) });
}

/** Not more often than people or a log can use; the end of each phase in any case. */
function reporter(): (progress: LocalTrainingProgress) => void {
  let reportedAt = Number.NEGATIVE_INFINITY;
  return (progress) => {
    const now = performance.now();
    if (now - reportedAt < REPORT_MS && progress.done < progress.all) return;
    reportedAt = now;
    void send({ kind: "progress", progress });
  };
}
