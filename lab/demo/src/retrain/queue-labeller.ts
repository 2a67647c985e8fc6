/**
 * Stands in for the people who label what a training waits for: takes frames from the gateway's label queue alone, looks at each picture,
 * and posts its class, until the training goes on.
 */
import { createHash } from "node:crypto";
import type { GatewayClient } from "@tributary/api";
import { reasonOf, systemClock } from "@tributary/kernel";

/** Frames that are asked for at a time, and pictures that are fetched at once. */
const BATCH = 40;
const AT_ONCE = 8;
const POLL_MS = 500;

export type QueueLabels = { readonly labels: number; readonly seconds: number; readonly unknown: number };

export type QueueOptions = {
  readonly api: GatewayClient;
  readonly runId: string;
  /** Class by the JPEG's SHA-256, hex. */
  readonly truths: ReadonlyMap<string, string>;
  readonly isWaiting: () => boolean;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
};

export async function labelQueue(options: QueueOptions): Promise<QueueLabels> {
  const { api, runId, truths, isWaiting, log, signal } = options;
  const startedMs = performance.now();
  const seen = new Set<string>();
  let [labels, unknown] = [0, 0];
  while (isWaiting()) {
    const items = await queued(options);
    const open = items.filter(({ frameId }) => !seen.has(frameId));
    if (open.length === 0) {
      await systemClock.sleep(POLL_MS, signal);
      continue;
    }
    const found: { readonly frameId: string; readonly label: string; readonly labelledBy: string }[] = [];
    for (let from = 0; from < open.length; from += AT_ONCE) {
      const some = open.slice(from, from + AT_ONCE).map(async ({ frameId }) => {
        const jpeg = await api.frames.image({ frameId });
        seen.add(frameId);
        const label = truths.get(createHash("sha256").update(jpeg).digest("hex"));
        if (label === undefined) unknown += 1;
        else found.push({ frameId, label, labelledBy: "demo" });
      });
      await Promise.all(some);
    }
    if (found.length === 0) continue;
    const { accepted, refused } = await api.labels.take({ body: { labels: found } }, { signal });
    labels += accepted;
    if (refused[0] !== undefined) log(`labels: ${refused.length} refused: ${refused[0].message}`);
    log(`label queue of ${runId}: ${labels} labels`);
  }
  return { labels, unknown, seconds: (performance.now() - startedMs) / 1_000 };
}

async function queued({ api, runId, log }: QueueOptions) {
  try {
    const { items } = await api.labels.next({ why: "TRAINING", training: runId, limit: BATCH });
    return items;
  } catch (error) {
    log(`label queue: ${reasonOf(error)}`);
    return [];
  }
}
