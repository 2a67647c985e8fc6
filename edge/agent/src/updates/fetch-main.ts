/**
 * The process that fetches one package, started by `Fetcher` alone: what comes from the network is parsed here, at low
 * priority and beside the agent's memory, which is its own again afterwards.
 *
 * It lives as long as its channel: when the agent goes, however, it goes too.
 */
import { readFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { Failure, reasonOf, systemClock } from "@tributary/kernel";
import { moveThisThread } from "@tributary/onnx";
import { httpFetcher, openTrust } from "@tributary/tuf";
import type { Done, Progress, Retry } from "@tributary/updates";
import { type ClockMode, deviceTime } from "../device-time.ts";
import { type FetchOptions, fetchPackage } from "./fetch-package.ts";
import { Shelf } from "./shelf.ts";

export type FetchJob = FetchOptions & {
  readonly dataDir: string;
  readonly root: string;
  readonly clock: ClockMode;
  readonly backgroundCore?: string;
};

export type FromFetch =
  | { readonly kind: "progress"; readonly progress: Progress }
  | { readonly kind: "done"; readonly done: Done };

const NICE = 10;
const PROGRESS_MS = 200;
const retryOf = { retry: "many", "ask-a-person": "few", "give-up": "never" } as const satisfies Record<string, Retry>;

process.once("message", (job: FetchJob) => {
  const stop = new AbortController();
  process.once("disconnect", () => process.exit(0));
  process.on("SIGINT", () => undefined); // A terminal's; the agent decides.
  setPriority(NICE);
  if (job.backgroundCore !== undefined) moveThisThread(job.backgroundCore);
  run(job, stop.signal).then(
    () => end({ ok: true }),
    (error: unknown) => end(doneOf(error)),
  );
});

async function run(job: FetchJob, signal: AbortSignal): Promise<void> {
  const shelf = new Shelf(job.dataDir);
  const now = deviceTime(job.clock);
  const trust = await openTrust({
    dir: join(shelf.dir, "tuf"),
    rootBytes: readFileSync(job.root),
    metadataUrl: `${job.registry.replace(/\/$/, "")}/tuf`,
    fetcher: httpFetcher(),
    clock: systemClock,
    isClockSet: () => now().wallMs !== null,
  });
  let toldAtMs = Number.NEGATIVE_INFINITY;
  let phase = "";
  const onProgress = (progress: Progress) => {
    const nowMs = systemClock.monotonicMs();
    if (progress.phase === phase && nowMs - toldAtMs < PROGRESS_MS) return;
    [phase, toldAtMs] = [progress.phase, nowMs];
    process.send?.({ kind: "progress", progress } satisfies FromFetch);
  };
  await fetchPackage(job, { trust, shelf, clock: systemClock, onProgress }, signal);
}

function doneOf(error: unknown): Done {
  if (error instanceof Failure) {
    return { ok: false, code: error.code, reason: error.message, retry: retryOf[error.advice] };
  }
  return { ok: false, code: "fetch-failed", reason: reasonOf(error), retry: "few" };
}

function end(done: Done): void {
  process.send?.({ kind: "done", done } satisfies FromFetch, () => process.exit(0));
}
