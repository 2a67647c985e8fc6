/** Draws labelled frames and judges them, beside the main thread. */
import { parentPort } from "node:worker_threads";
import type { Drawing } from "../in-workers.ts";
import { judgeLosses, type LossTask } from "./loss-judged.ts";

parentPort?.on("message", (task: Drawing<LossTask>) => parentPort?.postMessage(judgeLosses(task)));
