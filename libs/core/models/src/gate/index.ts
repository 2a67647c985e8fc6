export {
  allFramesLine,
  type GateInput,
  type GateLine,
  type GateReport,
  type Judged,
  judgeGate,
  type Margins,
  type Measured,
  marginDefaults,
  reliability,
  type Untested,
} from "./gate.ts";
export { labelEstimate, type Probabilities, sureFrames } from "./labels.ts";
export { paired } from "./paired.ts";
export { beyondOwnLight, type Light } from "./robustness.ts";
export { type DeviceCounts, marginOf, type Slice, type Slices, sliceLines } from "./slices.ts";
