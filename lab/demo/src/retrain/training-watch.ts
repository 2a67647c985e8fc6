/** Follows the trainings of a model at the gateway, as `tributary train status -w` does, and writes what changes. */
import type { GatewayClient, TrainingView } from "@tributary/api";
import { reasonOf, systemClock } from "@tributary/kernel";

const POLL_MS = 500;
const LOG_EVERY_MS = 10_000;
const ENDED: readonly string[] = ["SUCCEEDED", "FAILED", "REFUSED", "CANCELLED"];

export class TrainingWatch {
  readonly #api: GatewayClient;
  readonly #model: string;
  readonly #log: (line: string) => void;
  readonly #stopping = new AbortController();
  readonly #reported = new Map<string, { readonly line: string; readonly phase: string; readonly atMs: number }>();
  #ended: Promise<void> = Promise.resolve();
  runs: readonly TrainingView[] = [];

  constructor(api: GatewayClient, model: string, log: (line: string) => void) {
    this.#api = api;
    this.#model = model;
    this.#log = log;
  }

  start(): void {
    this.#ended = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("stopped"));
    await this.#ended;
  }

  phaseOf(id: string): string {
    return this.runs.find(({ runId }) => runId === id)?.phase ?? "";
  }

  isOver(id: string): boolean {
    return ENDED.includes(this.phaseOf(id));
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        this.runs = (await this.#api.trainings.list({ model: this.#model })).items;
        for (const run of this.runs) this.#report(run);
      } catch (error) {
        if (!signal.aborted) this.#log(`trainings: ${reasonOf(error)}`);
      }
      await systemClock.sleep(POLL_MS, signal).catch(() => undefined);
    }
  }

  #report({ runId, phase, message, labelsHave, labelsWanted }: TrainingView): void {
    const labels = phase === "LABELLING" ? ` (${labelsHave} of ${labelsWanted} labels)` : "";
    const line = `training ${runId} ${phase}${labels}: ${message}`;
    const reported = this.#reported.get(runId);
    const isSoon = reported?.phase === phase && performance.now() - reported.atMs < LOG_EVERY_MS;
    if (reported?.line === line || isSoon) return;
    this.#reported.set(runId, { line, phase, atMs: performance.now() });
    this.#log(line);
  }
}
