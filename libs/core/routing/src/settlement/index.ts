export { Admission, type AdmissionSettings, admissionDefaults } from "./admission.ts";
export { cloudHealthDefaults } from "./cloud-health.ts";
export { type DeviceChanges, type DeviceSnapshot, frameKeyOf, type WindowName } from "./device-state.ts";
export { Effects, type Lane, type Note } from "./effects.ts";
export { fallbackDefaults } from "./fallback-rates.ts";
export { type SettlementLimits, settlementLimits } from "./limits.ts";
export { type ArmOf, SettlementPartition } from "./partition.ts";
export { shareDefaults } from "./shares.ts";
export { assertUsableFrame, assertUsablePredictions, assertUsableResult, PREDICTIONS_MAX } from "./usable.ts";
