export {
  type HttpBlock,
  httpBlock,
  httpUrl,
  type KafkaBlock,
  type LogBlock,
  logBlock,
  portSchema,
  type SchemaRegistryBlock,
  sharedBlocks,
} from "./blocks.ts";
export { ConfigError } from "./config-error.ts";
export { configOrExit } from "./invocation.ts";
export { parseConfig } from "./load.ts";
