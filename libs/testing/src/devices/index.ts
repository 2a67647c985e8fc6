/** What a device talks to, for tests and chaos of devices alone. */
export { type Variant, writeVariant } from "./packages.ts";
export { TinyBroker } from "./tiny-broker.ts";
export { TinyModelRegistry } from "./tiny-model-registry.ts";
