/** Checks properties of the ladder beside the main thread. */
import { parentPort } from "node:worker_threads";
import { checkSeeds, type SeedsTask } from "./check.ts";

parentPort?.on("message", (task: SeedsTask) => parentPort?.postMessage(checkSeeds(task)));
