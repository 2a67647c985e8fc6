/** Looks at the agents from outside, through their public HTTP API. */
import { setTimeout as sleep } from "node:timers/promises";
import type { DeviceAgent } from "@tributary/stack";

export type AgentStatus = {
  readonly frames: number;
  readonly outbox: { readonly frames: number; readonly predictions: number };
  readonly latencyMs: { readonly p50: number; readonly p99: number } | null;
};

export async function statusOf(agent: DeviceAgent): Promise<AgentStatus | undefined> {
  try {
    const response = await fetch(`${agent.url}/v1/status`, { signal: AbortSignal.timeout(2_000) });
    return (await response.json()) as AgentStatus;
  } catch {
    return undefined;
  }
}

/** Watches until `stop`: the largest outbox in frames, and frames answered on the devices meanwhile. */
export function watchAgents(agents: readonly DeviceAgent[]) {
  const first = new Map<string, number>();
  const last = new Map<string, number>();
  let framesHeldMax = 0;
  let isStopped = false;
  const watching = (async () => {
    while (!isStopped) {
      let held = 0;
      for (const agent of agents) {
        const status = await statusOf(agent);
        if (status === undefined) continue;
        held += status.outbox.frames + status.outbox.predictions;
        if (!first.has(agent.deviceId)) first.set(agent.deviceId, status.frames);
        last.set(agent.deviceId, status.frames);
      }
      framesHeldMax = Math.max(framesHeldMax, held);
      await sleep(250);
    }
  })();
  return {
    async stop(): Promise<{ readonly framesHeldMax: number; readonly answeredMin: number }> {
      isStopped = true;
      await watching;
      const answered = agents.map(({ deviceId }) => (last.get(deviceId) ?? 0) - (first.get(deviceId) ?? 0));
      return { framesHeldMax, answeredMin: Math.min(...answered) };
    },
  };
}
