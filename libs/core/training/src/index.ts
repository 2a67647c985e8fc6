export {
  ARCHIVE_MEMORY_MS,
  ArchiveMemory,
  type Kept,
  type ScopeOf,
  type SentFrame,
} from "./archive/archive-memory.ts";
export { type ArchiveCaps, archiveCapsDefaults } from "./archive/keep-rule.ts";
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
