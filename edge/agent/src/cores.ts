import { type Cores, coresOfProcess, raiseThisThread, separateThreads } from "@tributary/onnx";
import type { AgentConfig } from "./config.ts";

/** Separates this process's threads, as configured. Null: no thread was moved. */
export function separateCores({ cores: how, model }: AgentConfig): Cores | null {
  const cores = how === "separate" ? coresOfProcess() : null;
  // A model that was given every core needs them all.
  if (cores === null || model.threads > cores.frames.split(",").length) return null;
  separateThreads(cores);
  if (isRaised(model)) raiseThisThread();
  return cores;
}

/** The threads of a model with several spin while they wait for each other: with a higher priority they would delay their own
 * agent. */
export const isRaised = ({ threads }: AgentConfig["model"]): boolean => threads === 1;
