export {
  bootOrder,
  type DurableState,
  durableStateFromJson,
  durableStateToJson,
  emptyDurableState,
  isMaintenanceWindow,
  type PackageRef,
  type Wanted,
} from "./durable-state.ts";
export {
  type Action,
  type ActionKind,
  activePackage,
  type Boot,
  bootUpdates,
  CONDITION_ENDED,
  type Conditions,
  type Desired,
  type Done,
  type Input,
  type Retry,
  type Step,
  step,
  stopped,
  type UpdateLimits,
  type Updates,
  unmet,
  updateLimits,
} from "./machine.ts";
/** @public The agent's inferred types name it. */
export type { UpdatePhase } from "./update-status.ts";
export { type Progress, type UpdateStatus, updateStatusOf } from "./update-status.ts";
export { isTimeZone, longestClosedMinutes, type MaintenanceWindow, type Weekday } from "./windows.ts";
