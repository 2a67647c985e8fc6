/** The thread of relearning.ts: one verdict, then it ends. */
import { parentPort, workerData } from "node:worker_threads";
import { relearn } from "@tributary/routing";
import type { Relearning } from "./relearning.ts";

const { standing, evidence, settings } = workerData as Relearning;
parentPort?.postMessage(relearn(standing, evidence, settings));
