export * from "./cores.ts";
export * from "./golden.ts";
export * from "./host.ts";
