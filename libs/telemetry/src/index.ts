export * from "./events.ts";
export * from "./rate-bound.ts";
export * from "./telemetry.ts";
export * from "./tracer.ts";
