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
