export { type Accuracy, accountOf, type PolicyAccount, points } from "./account.ts";
export { aipw } from "./aipw.ts";
export { ARM_DEFAULT, armOf, armUnitOf, type Experiment, noExperiment } from "./arms.ts";
export { bucketInit } from "./bucket.ts";
export { type Calibrated, calibrate } from "./calibrate.ts";
export {
  comparePolicies,
  PLAN_DEVICES_MIN,
  type PolicyArm,
  type PolicyEstimate,
  type PolicyLead,
  type Winner,
  winnerOf,
} from "./compare-policies.ts";
export { bucketSettingsOf, type DeviceDecision, decideOnDevice, priorityOf } from "./device.ts";
export { calibratedOf, EvidenceLedger, evidenceLimits, type LabelOutcome } from "./evidence.ts";
export { explainInRouter, explainOnDevice } from "./explain.ts";
export { FIXED_SCORES, fixedScoreOf, SCORES, type ScoreName } from "./fit.ts";
export { gainShare, type JudgedFrame, orderByScore } from "./frontier.ts";
export { isLate } from "./late.ts";
export {
  type LearningSettings,
  learningDefaults,
  learnPolicy,
  learnThenTest,
  outcomeOf,
  type ThresholdCandidate,
  thresholdGrid,
} from "./learn.ts";
export { type LoggedFrame, type OffPolicyFrontier, type OffPolicyPoint, simulateFrontier } from "./off-policy.ts";
export { completePolicy, type PolicyContent, PRIORITY_LABELS_MAX, parsePolicy } from "./policy.ts";
export {
  type Evidence,
  halfOf,
  type RelearnSettings,
  type RelearnVerdict,
  relearn,
  relearnDefaults,
} from "./relearn.ts";
export { admissionBudgetDefaults, admissionBudgetInit, decideInRouter } from "./router.ts";
export { sampleDraw, samplePropensity } from "./sample.ts";
export { type ScoringPolicy, scoreOf } from "./score.ts";
