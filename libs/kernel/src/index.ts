export { type Backoff, backoffMs } from "./backoff.ts";
export { endProcess } from "./end-process.ts";
export { exitFlagAtRunTime, exitFlags } from "./exit-flags.ts";
export { Failure, type FailureAdvice, invariant, reasonOf } from "./failure.ts";
export { hashOf } from "./hash.ts";
export {
  BOOTS_FROM,
  type Digest,
  type FrameId,
  formatFrameId,
  isDigest,
  isValidId,
  makeBootId,
  parseFrameId,
} from "./ids.ts";
export { isNestedDeeper, LEVELS_MAX } from "./nesting.ts";
export { Oldest } from "./oldest.ts";
export { Holdings, OwnedOldest } from "./owner-shares.ts";
export { type Random, seededRandom } from "./random.ts";
export { linkedSignal } from "./signals.ts";
export { sourceOf } from "./source.ts";
export { LABEL_BYTES_MAX, utf8Length } from "./text.ts";
export { type Clock, type Instant, repeat, repeatLater, systemClock, timerMs } from "./time.ts";
export { childTraceparent, traceContextOf, traceparentOf } from "./trace-context.ts";
