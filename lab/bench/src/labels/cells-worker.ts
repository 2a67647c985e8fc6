/** Draws fleets and judges them, beside the main thread. */
import { parentPort } from "node:worker_threads";
import type { Drawing } from "../in-workers.ts";
import { type Cell, judgeCell } from "./cells.ts";

parentPort?.on("message", (task: Drawing<Cell>) => parentPort?.postMessage(judgeCell(task)));
