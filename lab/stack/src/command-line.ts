/** `tributary`, as a person would call it on a stack. */
import { join } from "node:path";
import { exitFlags, Failure } from "@tributary/kernel";
import { repositoryRoot, startProgram } from "@tributary/testing";
import type { Stack } from "./stack.ts";

const MAIN = join(repositoryRoot, "cli/dist/main.js");
/** A set of 20,000 photos is uploaded one by one. */
const MS_MAX = 600_000;

/** Returns its standard output; throws Failure with its error output when it does not exit with 0. */
export async function tributary(
  stack: Pick<Stack, "gatewayUrl" | "registryUrl" | "brokers" | "prefix"> & Partial<Pick<Stack, "trainerUrl">>,
  ...args: readonly string[]
): Promise<string> {
  const env = {
    TRIBUTARY_GATEWAY: stack.gatewayUrl,
    ...(stack.registryUrl !== undefined && { TRIBUTARY_MODEL_REGISTRY: stack.registryUrl }),
    ...(stack.trainerUrl !== undefined && { TRIBUTARY_TRAINER: stack.trainerUrl }),
    TRIBUTARY_BROKERS: stack.brokers.join(","),
    TRIBUTARY_PREFIX: stack.prefix,
  };
  const { code, out, err } = await startProgram(process.execPath, [...exitFlags, MAIN, ...args], { env, msMax: MS_MAX })
    .ended;
  if (code !== 0)
    throw new Failure("tributary-failed", "give-up", `tributary ${args.join(" ")}: ${err.trim() || out.trim()}`);
  return out;
}
