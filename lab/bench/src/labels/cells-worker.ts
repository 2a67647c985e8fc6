/** Draws fleets and judges them, beside the main thread. */
import { parentPort } from "node:worker_threads";
import { type CellTask, judgeCell } from "./cells.ts";

parentPort?.on("message", (task: CellTask) => parentPort?.postMessage(judgeCell(task)));
