export * from "./builders.ts";
export * from "./kafka.ts";
export * from "./mosquitto.ts";
export * from "./otlp-receiver.ts";
export * from "./process.ts";
export * from "./temp.ts";
export * from "./wait.ts";
