export { type AvroSchema, compileBoundsCheck, type DecodeLimits } from "./bounded.ts";
export { assertReadable, Codec, jsonSafe, type SchemaVersion } from "./codec.ts";
export { ContractError, type ContractErrorCode } from "./errors.ts";
export { fingerprintOf } from "./fingerprint.ts";
export { frameConfluent, frameSingleObject, openConfluent, openSingleObject, readDeviceId } from "./framing.ts";
export * from "./generated/index.ts";
export { JSON_NAMES, jsonDownlinkSchemas, jsonUplinkSchema } from "./json-schemas.ts";
export {
  DEVICE_BYTES_PER_SECOND_MAX,
  type Downlink,
  type DownlinkChannel,
  downlinks,
  mqttTopics,
  PACKET_BYTES_MAX,
  type PayloadFormat,
  parseMqttTopic,
  UPLINK_BYTES_MAX,
} from "./mqtt.ts";
export { PERCEPTION, POLICY, WORLD } from "./slots.ts";
export { dlqOf, PARTITIONS, policyKey, type Topic, topics, type UplinkStream, uplinkStreams } from "./topics.ts";
