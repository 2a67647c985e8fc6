export { AckOrder } from "./ack-order.ts";
export { MqttLink } from "./link.ts";
export { probeAsRogue, type RogueAttempt, type RogueFinding } from "./rogue-probe.ts";
export { type Received, SharedLink } from "./shared-link.ts";
