/** For benches alone: all others start the process. */
import "./small-heap.ts";

export type { FrameQueue } from "./cameras/frame-queue.ts";
export { type AgentConfig, agentConfig } from "./config.ts";
export { separateCores } from "./cores.ts";
export { startAgent } from "./start-agent.ts";
