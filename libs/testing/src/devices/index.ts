/** What a device talks to, for tests and chaos of devices alone. */
export * from "./packages.ts";
export * from "./tiny-broker.ts";
export * from "./tiny-registry.ts";
