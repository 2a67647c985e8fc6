export * from "./gating/corruptions.ts";
export * from "./gating/html.ts";
export * from "./gating/measure.ts";
export * from "./packing/pack.ts";
export * from "./packing/validation-frames.ts";
