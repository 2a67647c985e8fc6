export * from "./candidates/candidates.ts";
export * from "./photos.ts";
