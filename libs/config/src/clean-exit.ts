/** Imported by the command line of every process; supervisors still need a liveness probe (ADR 10). */
import { setFlagsFromString } from "node:v8";
import { exitFlagAtRunTime } from "@tributary/kernel";

setFlagsFromString(exitFlagAtRunTime);
