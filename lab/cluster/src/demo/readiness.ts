/**
 * For how long each service had no ready pod. Pure: samples in, seconds out.
 *
 * A pod that is being deleted gets no new connections, so it does not count, whatever it says of itself. Between two samples a service is
 * as the earlier one saw it.
 */

export type Pod = {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
    readonly ownerReferences?: readonly { readonly kind: string }[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

const NAME = "app.kubernetes.io/name";

/** Ready pods by service; jobs are not services. */
export function readyPods(pods: readonly Pod[]): ReadonlyMap<string, number> {
  const ready = new Map<string, number>();
  for (const { metadata, status } of pods) {
    const service = metadata.labels?.[NAME];
    if (service === undefined || metadata.ownerReferences?.some(({ kind }) => kind === "Job")) continue;
    const isReady =
      metadata.deletionTimestamp === undefined &&
      (status?.conditions ?? []).some((condition) => condition.type === "Ready" && condition.status === "True");
    ready.set(service, (ready.get(service) ?? 0) + (isReady ? 1 : 0));
  }
  return ready;
}

export class ReadinessLog {
  readonly #expected: ReadonlyMap<string, number>;
  readonly #samples: { readonly atMs: number; readonly ready: ReadonlyMap<string, number> }[] = [];

  /** `expected`: ready pods by service, when nothing is wrong. */
  constructor(expected: ReadonlyMap<string, number>) {
    this.#expected = expected;
  }

  get services(): readonly string[] {
    return [...this.#expected.keys()].sort();
  }

  add(atMs: number, ready: ReadonlyMap<string, number>): void {
    this.#samples.push({ atMs, ready });
  }

  /** Services that, by a sample, lack pods. */
  lacking(ready: ReadonlyMap<string, number>): readonly string[] {
    return this.services.filter((service) => (ready.get(service) ?? 0) < (this.#expected.get(service) ?? 0));
  }

  /** Seconds without any ready pod by service, of those that had any such second, in a part of the run. */
  secondsWithout(fromMs: number, untilMs: number): ReadonlyMap<string, number> {
    const seconds = new Map<string, number>();
    for (const service of this.services) {
      let lacked = 0;
      for (const [i, { atMs, ready }] of this.#samples.entries()) {
        const next = this.#samples[i + 1];
        if (next === undefined || atMs < fromMs || atMs >= untilMs) continue;
        if ((ready.get(service) ?? 0) === 0) lacked += (next.atMs - atMs) / 1_000;
      }
      if (lacked > 0) seconds.set(service, lacked);
    }
    return seconds;
  }
}
