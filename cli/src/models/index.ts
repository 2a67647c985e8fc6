/** `tributary models …`, loaded on demand. */
export { modelsAliasCommand, modelsForceCommand, modelsJudgeCommand, modelsRevokeCommand } from "./change.ts";
export { modelsDiffCommand } from "./diff.ts";
export { modelsGateCommand } from "./gate.ts";
export { modelsKeysCommand } from "./keys.ts";
export { modelsPackCommand } from "./pack.ts";
export { modelsPushCommand } from "./push.ts";
export { validationDescribeCommand, validationListCommand, validationPushCommand } from "./validation.ts";
export { modelsVerifyCommand } from "./verify.ts";
