/** The servers that a device connects to, for tests and chaos programs of devices. */
export { type Variant, writeVariant } from "./packages.ts";
export { TinyBroker } from "./tiny-broker.ts";
export { TinyModelRegistry } from "./tiny-model-registry.ts";
