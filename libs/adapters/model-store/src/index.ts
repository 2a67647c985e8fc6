export * from "./digest.ts";
export * from "./load.ts";
export * from "./write.ts";
