export {
  type CaptureTimes,
  captureNext,
  captureSettingsOf,
  dueIn,
  hasCome,
  noCaptures,
  type Stall,
} from "./capture-times.ts";
export type { FirmTask } from "./firm.ts";
export type { Reading } from "./heat.ts";
export { labelToRepeat } from "./labels.ts";
export {
  hasAnswerer,
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
