export { expectedVerdict } from "./expected-verdicts.ts";
export { type Fault, type Moment, worksOn } from "./fault.ts";
export { faults } from "./faults.ts";
export type { Picture } from "./picture.ts";
export { framesPerMinuteAt, mixAt } from "./scenes.ts";
export { applyConditions, type Conditions, conditionsAt } from "./weather.ts";
export { HOUR_MS, type Where } from "./where.ts";
