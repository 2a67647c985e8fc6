export { ModelTable, modelKey } from "./model-table.ts";
