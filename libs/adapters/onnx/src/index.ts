export * from "./cores.ts";
export * from "./golden.ts";
export * from "./host.ts";
export * from "./inline-data.ts";
export * from "./model-facts.ts";
export { Normaliser } from "./normaliser.ts";
export * from "./preprocess-host.ts";
export * as protobuf from "./protobuf.ts";
