/**
 * Imported first by the agent's main: a device's memory is small. V8 doubles its young generation up to 64 MB when
 * the allocation rate is high; our objects are short-lived, and a young generation of 2 MB saves about 40 MB at no measurable cost.
 */
import { setFlagsFromString } from "node:v8";
import { exitFlagAtRunTime } from "@tributary/kernel";

setFlagsFromString("--semi-space-growth-factor=1");
setFlagsFromString("--optimize-for-size");
// A small heap is collected at once; a helper thread on the background's core would make a frame wait for it.
setFlagsFromString("--no-parallel-scavenge");
// With a heap this small V8's background compiler often waits for a collection.
setFlagsFromString(exitFlagAtRunTime);
