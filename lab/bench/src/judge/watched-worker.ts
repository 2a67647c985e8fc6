/** Watches canaries beside the main thread. */
import { parentPort } from "node:worker_threads";
import { type WatchTask, watchSeeds } from "./watched.ts";

parentPort?.on("message", (task: WatchTask) => parentPort?.postMessage(watchSeeds(task)));
