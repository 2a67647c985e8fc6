export * from "./draws.ts";
export * from "./instance.ts";
export * from "./simulate.ts";
export * from "./tape.ts";
export * from "./world.ts";
