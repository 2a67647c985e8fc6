/** Simulates groups of cameras beside the main thread. */
import { parentPort } from "node:worker_threads";
import { type MonthTask, simulate } from "./month.ts";

parentPort?.on("message", (task: MonthTask) => parentPort?.postMessage(simulate(task)));
