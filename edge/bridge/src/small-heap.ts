/**
 * Imported first by the bridge's main. The bridge's objects are garbage once Kafka has a message: a young generation that is
 * small and does not grow is collected soon and briefly, by the main thread alone. Helper threads would have to be scheduled
 * first, and delay acknowledgements meanwhile. `npm run bench -- bridge` prints the effect.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--semi-space-growth-factor=1");
setFlagsFromString("--max-semi-space-size=4");
setFlagsFromString("--no-parallel-scavenge");
