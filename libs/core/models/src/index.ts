export { attemptsAt, type Following, failedAt, nextStep, nothingActive, taken } from "./following.ts";
export {
  isPackageName,
  type ModelReference,
  modelReferenceOf,
  PACKAGE_EXPECTED,
  type Resolved,
  resolveReference,
} from "./model-reference.ts";
export { ModelTable, modelKey } from "./model-table.ts";
