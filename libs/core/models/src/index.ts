export { ModelTable, modelKey } from "./model-table.ts";
export {
  isPackageName,
  type ModelReference,
  modelReferenceOf,
  PACKAGE_EXPECTED,
  type Resolved,
  resolveReference,
} from "./model-reference.ts";
export { attemptsAt, failedAt, type Following, type NextStep, nextStep, nothingActive, taken } from "./following.ts";
