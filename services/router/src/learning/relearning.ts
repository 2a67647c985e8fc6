/** Relearning in a thread of its own: choosing a score among thousands of labels takes a second, and no frame waits for it. */
import { Worker } from "node:worker_threads";
import type { RoutingPolicy } from "@tributary/contracts";
import type { Evidence, RelearnSettings, RelearnVerdict } from "@tributary/routing";

export type Relearning = {
  readonly standing: RoutingPolicy;
  readonly evidence: readonly Evidence[];
  readonly settings: RelearnSettings;
};

/** Rejects with the signal's reason, or with the thread's error. */
export async function relearnAside(relearning: Relearning, signal: AbortSignal): Promise<RelearnVerdict> {
  signal.throwIfAborted();
  const isSource = import.meta.url.endsWith(".ts");
  const worker = new Worker(new URL(`relearning-worker.${isSource ? "ts" : "js"}`, import.meta.url), {
    workerData: relearning,
    ...(isSource && { execArgv: ["--conditions=@tributary/source"] }),
  });
  const stop = () => void worker.terminate();
  signal.addEventListener("abort", stop);
  try {
    return await new Promise<RelearnVerdict>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      worker.once("exit", (code) =>
        reject(signal.aborted ? signal.reason : new Error(`the relearning thread ended with code ${code}`)),
      );
    });
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.terminate();
  }
}
