import { type Cores, coresOfProcess, raiseThisThread, separateThreads } from "@tributary/onnx";
import type { AgentConfig } from "./config.ts";

/**
 * Who goes first on the core that they share. LITE is asked when half of a deadline is over: neither the full model, which may be anything,
 * nor a collection of garbage in the agent must keep it from its answer. The agent's thread keeps the time of every deadline, and ends a
 * model that hangs; LITE is ahead of it only within a limit (`computesMsMax`).
 */
export const priorities = { lite: 4, agent: 3, model: 2 } as const;

/** `isRealTime`: the agent's thread is in Linux's real-time class, and its models may be. */
export type Separated = Cores & { readonly isRealTime: boolean };

/** Separates this process's threads, as configured. Null: no thread was moved. */
export function separateCores({ cores: how, model }: AgentConfig): Separated | null {
  const cores = how === "separate" ? coresOfProcess() : null;
  // A model that was given every core needs them all.
  if (cores === null || model.threads > cores.frames.split(",").length) return null;
  separateThreads(cores);
  return { ...cores, isRealTime: isRaised(model) && raiseThisThread(priorities.agent) };
}

/** The threads of a model with several spin while they wait for each other: with a higher priority they would delay their own
 * agent. */
export const isRaised = ({ threads }: AgentConfig["model"]): boolean => threads === 1;
