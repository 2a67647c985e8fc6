export {
  DATASET_MANIFEST,
  type DatasetFrame,
  RESULT_FILE,
  RESULT_MODEL,
  type SplitAccuracy,
  type TrainingJob,
  type TrainingResult,
} from "./job.ts";
export { type Recipe, recipeDefaults, recipeFor } from "./recipe.ts";
