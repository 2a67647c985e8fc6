export * from "./checking/examine.ts";
export * from "./gating/gate.ts";
export * from "./gating/html.ts";
export * from "./gating/measure.ts";
export * from "./packing/pack.ts";
export * from "./packing/validation-frames.ts";
export * from "./tasks/run-task.ts";
export * from "./tasks/task.ts";
