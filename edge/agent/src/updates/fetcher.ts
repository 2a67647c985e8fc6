/** Fetches packages in a child process; see fetch-main.ts. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { exitFlags } from "@tributary/kernel";
import type { Done, Progress } from "@tributary/updates";
import type { FetchJob, FromFetch } from "./fetch-main.ts";

// From source as from the build, the child is the built script.
const MAIN = fileURLToPath(new URL("../../dist/updates/fetch-main.js", import.meta.url));
const FLAGS = ["--max-semi-space-size=1", "--max-old-space-size=96", "--optimize-for-size", ...exitFlags];

/** A process that exits without a result was killed, or ran out of memory. */
const gone = (how: string): Done => ({
  ok: false,
  code: "fetch-failed",
  reason: `the fetching process ${how}`,
  retry: "few",
});

export type Fetch = (job: FetchJob, onProgress: (progress: Progress) => void, signal: AbortSignal) => Promise<Done>;

/** Resolves once the process has exited. When the signal aborts it is killed: the next one resumes the download. */
export const fetchInChild: Fetch = (job, onProgress, signal) =>
  new Promise((resolve) => {
    const { NODE_OPTIONS: _, ...env } = process.env;
    const child = fork(MAIN, [], { execArgv: FLAGS, stdio: ["ignore", "ignore", "inherit", "ipc"], env });
    let done: Done | undefined;
    const kill = () => child.kill("SIGKILL");
    signal.addEventListener("abort", kill, { once: true });
    child.on("message", (message: FromFetch) => {
      if (message.kind === "progress") onProgress(message.progress);
      else done = message.done;
    });
    child.once("error", (error) => {
      done ??= gone(`could not be started: ${error.message}`);
      if (child.pid === undefined) settle(); // Then no exit follows.
    });
    child.once("exit", (code, how) => {
      done ??= gone(how === null ? `ended with ${code}` : `was ended by ${how}`);
      settle();
    });
    const settle = () => {
      signal.removeEventListener("abort", kill);
      resolve(done ?? gone("ended"));
    };
    if (signal.aborted) kill();
    else child.send(job, (error) => error && kill());
  });
