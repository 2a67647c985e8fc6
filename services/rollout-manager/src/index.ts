export { configSchema, type RolloutManagerConfig } from "./config.ts";
