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
export { type LabelNeeds, neededSplits, splitSum, splitWords } from "./label-splits.ts";
export { type Recipe, recipeFor } from "./recipe.ts";
export { candidateVersion } from "./runs/candidate-version.ts";
export { type Changed, changed } from "./runs/change.ts";
export { cancelled, checkResumable, cleanupOf, resumed } from "./runs/commands.ts";
export { decide, type Effect } from "./runs/decide.ts";
export { type Forecast, forecastRegained } from "./runs/forecast.ts";
export { applied, type JobReport, type LabelCount, type Outcome } from "./runs/outcomes.ts";
export { isEnded, isWorking, jobAttemptOf } from "./runs/phases.ts";
export { type RunSettings, runDefaults } from "./runs/settings.ts";
export { type PersonRequest, requestedBy, triggersDue } from "./runs/triggers.ts";
export { trainingView } from "./runs/view.ts";
export type { World } from "./runs/world.ts";
