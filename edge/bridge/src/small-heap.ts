/**
 * Imported first by the bridge's main. What the bridge allocates is garbage once Kafka has it, and most of it is bytes
 * outside of V8's heap, which only a collection gives back: a young generation that does not grow is collected soon, so
 * that less of it is resident. `npm run bench -- bridge` prints what that comes to.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--semi-space-growth-factor=1");
