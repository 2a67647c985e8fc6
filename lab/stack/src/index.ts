export { type Account, lossesOf, quantiles, type Report } from "./account.ts";
export { Labeller } from "./labeller.ts";
export type { Part } from "./part.ts";
export { cloudPackage, edgePackage, mains, repositoryRoot, runDir, samples } from "./paths.ts";
export { endAll, marked } from "./proc.ts";
export { CAMERA_ID, type DeviceAgent, type Stack, startStack } from "./stack.ts";
export { ensureTrust } from "./trust.ts";
export { accountOf, endedBoots, shownBy, untilAnswered, verify } from "./verify.ts";
