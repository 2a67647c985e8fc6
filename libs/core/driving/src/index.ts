export { type FirmTask, isBroken, noMisses, withFrame } from "./firm.ts";
export type { Reading } from "./heat.ts";
export {
  isDegraded,
  type Ladder,
  type LadderEvent,
  type LadderSettings,
  type Level,
  type LevelReason,
  ladderDefaults,
  ladderNext,
  ladderStart,
  levels,
  type MissCause,
  type ModelRole,
  planOf,
  probeOf,
} from "./ladder.ts";
export { type Implausible, Plausibility } from "./plausibility.ts";
