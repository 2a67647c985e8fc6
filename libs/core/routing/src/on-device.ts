/** What a device needs of routing: a small memory loads neither the fitting of policies nor the statistics below it. */
export { type Bucket, bucketInit } from "./bucket.ts";
export { type Calibrated, calibrate } from "./calibrate.ts";
export { bucketSettingsOf, type DeviceDecision, decideOnDevice } from "./device.ts";
export { completePolicy, POLICY_FEATURES, parsePolicy } from "./policy.ts";
export { sampleDraw } from "./sample.ts";
