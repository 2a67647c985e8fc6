/** Asks every service every `EVERY_MS` whether it is ready, and keeps what it answered, and whether it is the same process. */
import type { Part } from "@tributary/stack";

const EVERY_MS = 250;
const ANSWER_MS_MAX = 2_000;

type Sample = { readonly atMs: number; readonly isReady: boolean; readonly problems: string };

export type Readiness = {
  readonly name: string;
  /** Seconds from `sinceMs` until it was ready for good; null when it is not yet. */
  readonly readyAfterS: number | null;
  /** Ended processes. */
  readonly exits: number;
  /** Its last reasons while it was not ready; empty if it was ready all the time. */
  readonly problems: string;
};

export class ReadinessWatch {
  readonly #parts: readonly Part[];
  readonly #samples = new Map<Part, Sample[]>();
  readonly #restarts: ReadonlyMap<Part, number>;
  readonly #urls: ReadonlyMap<Part, string>;
  readonly #timers: readonly NodeJS.Timeout[];

  constructor(parts: readonly Part[]) {
    this.#parts = parts;
    this.#restarts = new Map(parts.map((part) => [part, part.restarts]));
    this.#urls = new Map(parts.map((part) => [part, `http://127.0.0.1:${part.ports.http}/health/ready`]));
    this.#timers = parts.map((part) => setInterval(() => void this.#ask(part), EVERY_MS));
  }

  /** All have been ready for `steadyMs`. */
  isSteady(steadyMs: number): boolean {
    const since = performance.now() - steadyMs;
    return this.#parts.every((part) => {
      const last = this.#of(part).findLast(({ isReady }) => !isReady);
      return this.#of(part).length > 0 && (last === undefined || last.atMs < since);
    });
  }

  readings(sinceMs: number): readonly Readiness[] {
    return this.#parts.map((part) => {
      const samples = this.#of(part);
      const lastNotReady = samples.findLastIndex(({ isReady }) => !isReady);
      const ready = samples[lastNotReady + 1];
      return {
        name: part.name,
        readyAfterS: ready === undefined ? null : Math.max(0, Math.round((ready.atMs - sinceMs) / 100) / 10),
        exits: part.restarts - (this.#restarts.get(part) ?? 0),
        problems: samples.findLast(({ isReady, problems }) => !isReady && problems !== "")?.problems ?? "",
      };
    });
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }

  #of(part: Part): Sample[] {
    const samples = this.#samples.get(part) ?? [];
    this.#samples.set(part, samples);
    return samples;
  }

  async #ask(part: Part): Promise<void> {
    const atMs = performance.now();
    const signal = AbortSignal.timeout(ANSWER_MS_MAX);
    const sample = await fetch(this.#urls.get(part) ?? "", { signal }).then(
      async (response) => {
        const { problems = {} } = (await response.json()) as { problems?: Record<string, string> };
        const text = Object.entries(problems).map(([name, why]) => `${name}: ${why}`);
        return { atMs, isReady: response.ok, problems: text.join("; ") };
      },
      () => ({ atMs, isReady: false, problems: "" }),
    );
    this.#of(part).push(sample);
  }
}
