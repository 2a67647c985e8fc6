/** `tributary`, as a person would call it on a stack. */
import type { Stack } from "@tributary/stack";
import { spawnProcess } from "@tributary/testing";

/** Its exit code, and what it said. */
export async function tributary(
  stack: Pick<Stack, "gatewayUrl" | "brokers" | "prefix">,
  ...args: readonly string[]
): Promise<{ readonly code: number | null; readonly text: string }> {
  const env = {
    TRIBUTARY_GATEWAY: stack.gatewayUrl,
    TRIBUTARY_BROKERS: stack.brokers.join(","),
    TRIBUTARY_PREFIX: stack.prefix,
  };
  const process = spawnProcess({ name: "cli", main: "cli/dist/main.js", args, env });
  const { code } = await process.exited;
  return { code, text: process.lines().join("\n") };
}
