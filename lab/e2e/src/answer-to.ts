import { type Answer, gatewayClient } from "@tributary/api";
import type { Stack } from "@tributary/stack";
import { waitFor } from "@tributary/testing";

/** The final answer of a frame, as soon as the gateway has it. */
export function answerTo({ gatewayUrl }: Pick<Stack, "gatewayUrl">, frameId: string): Promise<Answer> {
  const { classifications } = gatewayClient({ url: gatewayUrl });
  return waitFor(() => classifications.one({ frameId }), { what: `an answer to ${frameId}`, everyMs: 100 });
}
