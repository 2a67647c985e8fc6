export {
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
export { beyondOwnLight, type Light } from "./robustness.ts";
export {
  marginOf,
  type SliceAnswers,
  type SliceEvidence,
  type SliceMargins,
  type Slices,
  sliceLines,
} from "./slices.ts";
