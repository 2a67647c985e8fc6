export * from "./report.ts";
export * from "./settings.ts";
