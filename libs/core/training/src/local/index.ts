export {
  answerOf,
  certaintyOf,
  type JudgedFrame,
  knowsByHeart,
  splitAccuracy,
  weighedAsAtSite,
} from "./accuracy.ts";
export { type AdamState, adamStep, learningRateAt, type Parameters, startAdam } from "./adam.ts";
export { type AppearanceMatch, appearanceMatch, appearanceOf, matchAppearance } from "./appearance.ts";
export { augment, type PictureSize } from "./augment.ts";
export { type BatchFrame, batchPlan, drawSome } from "./batches.ts";
export { biasCorrection } from "./bias-correction.ts";
export { blended, chooseBlend, type MeasuredBlend } from "./blend.ts";
export { missingFrames } from "./enough.ts";
export { type HarmLine, harmDefaults, harmLines } from "./harm.ts";
export { distilled, truth } from "./targets.ts";
