export * from "./model-table.ts";
