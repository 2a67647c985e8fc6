/**
 * Imported first by the bridge's main. What the bridge allocates is garbage once Kafka has it: a young generation that is
 * small and does not grow is collected soon and briefly, by the main thread alone. Helper threads would have to get a
 * processor first, and everything that is to be acknowledged waits for them meanwhile. `npm run bench -- bridge` prints what
 * that comes to.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--semi-space-growth-factor=1");
setFlagsFromString("--max-semi-space-size=4");
setFlagsFromString("--no-parallel-scavenge");
