export * from "./bounded.ts";
export * from "./codec.ts";
export * from "./errors.ts";
export * from "./fingerprint.ts";
export * from "./framing.ts";
export * from "./generated/index.ts";
export * from "./mqtt.ts";
export * from "./topics.ts";
