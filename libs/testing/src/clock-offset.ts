/** Starts processes with a wall clock that is wrong (wrong-clock.ts). */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { repositoryRoot } from "./process.ts";

const preload = pathToFileURL(join(repositoryRoot, "libs/testing/dist/wrong-clock.js")).href;

/** Environment of a process whose wall clock is so far ahead; behind when negative. */
export const clockOffsetEnv = (aheadMs: number): { readonly [name: string]: string } => ({
  NODE_OPTIONS: `--import ${preload}`,
  TRIBUTARY_CLOCK_OFFSET_MS: String(aheadMs),
});
