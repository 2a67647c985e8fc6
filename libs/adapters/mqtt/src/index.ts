export * from "./ack-order.ts";
export * from "./link.ts";
export * from "./rogue-probe.ts";
export * from "./shared-link.ts";
