import { type Cores, coresOfProcess, raiseThisThread, separateThreads } from "@tributary/onnx";
import type { AgentConfig } from "./config.ts";

/**
 * Who goes first on the core that they share. LITE is asked when half of a deadline is over, works for a millisecond or two on that core, and
 * must be kept from its answer by nothing: neither by the agent's thread, which collects garbage of 30 MB for 30 ms about once a minute,
 * nor by the full model, which may be anything. The agent's thread keeps the time of every deadline, so the full model must not delay it.
 */
export const priorities = { lite: 4, agent: 3, model: 2 } as const;

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
