export { ladderRules } from "./drive.ts";
export { type LadderProperty, ladderProperties } from "./properties.ts";
