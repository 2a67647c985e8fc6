export * from "./book.ts";
export * from "./machine.ts";
export * from "./probation.ts";
export * from "./said.ts";
export * from "./windows.ts";
