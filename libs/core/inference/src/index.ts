export * from "./jpeg.ts";
export * from "./manifest.ts";
export * from "./package-documents.ts";
export * from "./ports.ts";
export * from "./preprocessing.ts";
export * from "./sketch.ts";
export * from "./softmax.ts";
export * from "./tensor.ts";
