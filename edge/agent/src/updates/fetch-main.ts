/**
 * The process that fetches one package, started by `Fetcher` alone: input from the network is parsed here, at low
 * priority and outside of the agent's memory.
 *
 * It lives as long as its channel: it exits with the agent, however that ends.
 */
import { setPriority } from "node:os";
import { endProcess, systemClock } from "@tributary/kernel";
import { type FetchOptions, fetchPackage } from "@tributary/model-store/fetch";
import { moveThisThread } from "@tributary/onnx";
import type { Done, Progress } from "@tributary/updates";
import { type ClockMode, deviceTime } from "../device-time.ts";
import { doneOf } from "./done.ts";
import { PackageStore } from "./package-store.ts";
import { type ModelRegistryOptions, openModelRegistryTrust } from "./trust.ts";

export type FetchJob = FetchOptions &
  ModelRegistryOptions & {
    readonly dataDir: string;
    readonly clock: ClockMode;
    readonly backgroundCore?: string;
  };

export type FromFetch =
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "done"; readonly done: Done };

const NICE = 10;
const PROGRESS_MS = 200;

process.once("message", (job: FetchJob) => {
  const stop = new AbortController();
  process.once("disconnect", () => endProcess(0));
  process.on("SIGINT", () => undefined); // A terminal's; the agent decides.
  setPriority(NICE);
  if (job.backgroundCore !== undefined) moveThisThread(job.backgroundCore);
  run(job, stop.signal).then(
    () => end({ ok: true }),
    (error: unknown) => end(doneOf(error, "fetch-failed")),
  );
});

async function run(job: FetchJob, signal: AbortSignal): Promise<void> {
  const packageStore = new PackageStore(job.dataDir);
  const now = deviceTime(job.clock);
  const trust = await openModelRegistryTrust(packageStore, job, () => now().wallMs !== null);
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  let phase = "";
  const onProgress = (progress: Progress) => {
    const nowMs = systemClock.monotonicMs();
    if (progress.phase === phase && nowMs - reportedAtMs < PROGRESS_MS) return;
    [phase, reportedAtMs] = [progress.phase, nowMs];
    process.send?.({ kind: "progress", progress } satisfies FromFetch);
  };
  await fetchPackage(job, { trust, packageStore, clock: systemClock, onProgress }, signal);
}

function end(done: Done): void {
  process.send?.({ kind: "done", done } satisfies FromFetch, () => endProcess(0));
}
