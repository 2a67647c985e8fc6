/**
 * Imported by the command line of every process. While process.exit() waits for V8's background compilers, one that waits
 * for a garbage collection is never served, and the process stays for ever (nodejs/node#54918): seen in 5 of 1,000 exits
 * on a busy machine with the concurrent baseline compiler, in 1 without. Supervisors still need a liveness probe.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--no-concurrent-sparkplug");
