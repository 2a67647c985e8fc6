export * from "./golden.ts";
export * from "./host.ts";
