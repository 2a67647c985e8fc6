/** Watches canaries beside the main thread. */
import { parentPort } from "node:worker_threads";
import type { Drawing } from "../in-workers.ts";
import type { World } from "./fleet.ts";
import { watchSeeds } from "./watched.ts";

parentPort?.on("message", (task: Drawing<World>) => parentPort?.postMessage(watchSeeds(task)));
