export * from "./gate.ts";
export * from "./robustness.ts";
