/** Lives months beside the main thread. */
import { parentPort } from "node:worker_threads";
import { type LifeTask, liveMonth } from "./life.ts";

parentPort?.on("message", (task: LifeTask) => parentPort?.postMessage(liveMonth(task)));
