export * from "./backoff.ts";
export * from "./failure.ts";
export * from "./ids.ts";
export * from "./random.ts";
export * from "./signals.ts";
export * from "./text.ts";
export * from "./time.ts";
export * from "./trace-context.ts";
