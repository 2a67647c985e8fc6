/** Samples which pods are ready, twice a second, until it is stopped. */
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "@tributary/kernel";
import type { KubernetesApi } from "../addons/api.ts";
import { NAMESPACE } from "../settings.ts";
import { type Pod, ReadinessLog, readyPods } from "./readiness.ts";

const EVERY_MS = 500;
/** A pod may be as ready as before for three failures of its probe, every 5 s, after what it needs is gone. */
const STEADY_MS = 16_000;
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;

export type Watch = {
  readonly log: ReadinessLog;
  /** Of the pods that there are, by service. */
  pods(): Promise<ReadonlyMap<string, readonly string[]>>;
  /** Waits until every service has the pods that it had at first, and keeps them; gives the moment since when. Throws a Failure that
   * names those that have not. */
  untilComplete(msMax: number, signal: AbortSignal): Promise<number>;
  stop(): Promise<void>;
};

/** `api`'s pods are all ready now. */
export async function watchReadiness(api: KubernetesApi): Promise<Watch> {
  const list = () => api.list<Pod>(PODS);
  const log = new ReadinessLog(readyPods(await list()));
  let last = readyPods(await list());
  let isStopped = false;
  const watching = (async () => {
    while (!isStopped) {
      // A sample that the API server is too busy for is missing, and the one before it counts for longer.
      last = await list().then(readyPods, () => last);
      log.add(performance.now(), last);
      await sleep(EVERY_MS);
    }
  })();
  const untilComplete = async (msMax: number, signal: AbortSignal) => {
    const end = performance.now() + msMax;
    for (let since = performance.now(); ; ) {
      await sleep(EVERY_MS, undefined, { signal });
      const now = performance.now();
      const lacking = log.lacking(last);
      if (lacking.length > 0) since = now;
      if (now - since >= STEADY_MS) return since;
      if (now > end) {
        const names = lacking.join(", ") || "restarting";
        throw new Failure("not-ready-again", "give-up", `not ready again within ${msMax / 1_000} s: ${names}`);
      }
    }
  };
  const pods = async () => {
    const names = new Map<string, string[]>();
    for (const { metadata } of (await list()).filter((pod) => readyPods([pod]).values().next().value === 1)) {
      const service = metadata.labels?.["app.kubernetes.io/name"] ?? "";
      names.set(service, [...(names.get(service) ?? []), metadata.name]);
    }
    return names;
  };
  const stop = async () => {
    isStopped = true;
    await watching;
  };
  return { log, pods, untilComplete, stop };
}
