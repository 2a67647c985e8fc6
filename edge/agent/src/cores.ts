import { type Cores, coresOfProcess, raiseThisThread, separateThreads } from "@tributary/onnx";
import type { AgentConfig } from "./config.ts";

/**
 * Who goes first on the core that they share. The agent's thread keeps the time of every deadline, and ends a model that hangs: one that
 * computes without an end must not keep it from that. LITE is asked when half of a deadline is over, and the full model, which may be
 * anything, must not keep it from its answer.
 */
export const priorities = { agent: 4, lite: 3, model: 2 } as const;

/** Separates this process's threads, as configured. Null: no thread was moved. */
export function separateCores({ cores: how, model }: AgentConfig): Cores | null {
  const cores = how === "separate" ? coresOfProcess() : null;
  // A model that was given every core needs them all.
  if (cores === null || model.threads > cores.frames.split(",").length) return null;
  separateThreads(cores);
  if (isRaised(model)) raiseThisThread(priorities.agent);
  return cores;
}

/** The threads of a model with several spin while they wait for each other: with a higher priority they would delay their own
 * agent. */
export const isRaised = ({ threads }: AgentConfig["model"]): boolean => threads === 1;
