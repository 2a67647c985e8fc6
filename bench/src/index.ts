export * from "./bench.ts";
