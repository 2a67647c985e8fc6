import type { HttpBlock, KafkaBlock, LogBlock, SchemaRegistryBlock } from "@tributary/config";

/** The configuration that every service has: `sharedBlocks` of @tributary/config. */
export type ServiceConfig = {
  readonly http: HttpBlock;
  readonly log: LogBlock;
  readonly kafka: KafkaBlock;
  readonly schemaRegistry?: SchemaRegistryBlock | undefined;
};
