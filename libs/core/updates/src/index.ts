export {
  type Book,
  bookFromJson,
  bookToJson,
  emptyBook,
  isMaintenanceWindow,
  type PackageRef,
  type Wanted,
} from "./book.ts";
export {
  type Action,
  type ActionKind,
  atWork,
  type Boot,
  bootUpdates,
  type Conditions,
  type Desired,
  type Done,
  type Input,
  type Retry,
  type Step,
  step,
  stopped,
  type Updates,
  updateLimits,
} from "./machine.ts";
/** @public The agent's inferred types name it. */
export type { UpdatePhase } from "./said.ts";
export { type Progress, type Said, saidOf } from "./said.ts";
export { isTimeZone, longestClosedMinutes, type MaintenanceWindow, type Weekday } from "./windows.ts";
