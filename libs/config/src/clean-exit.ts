/** Imported by the command line of every process; supervisors still need a liveness probe (ADR 10). */
import { setFlagsFromString } from "node:v8";
import { exitFlags } from "@tributary/kernel";

for (const flag of exitFlags) setFlagsFromString(flag);
