export { configSchema, type GatewayConfig } from "./config.ts";
