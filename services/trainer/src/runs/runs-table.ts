/** Trainings as they stand, in every instance: requests that only read need not reach the owner. */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from "@nestjs/common";
import { type TrainingRun, topics } from "@tributary/contracts";
import { follow } from "@tributary/kafka";
import type { Clock, Random } from "@tributary/kernel";
import { CLOCK, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { TableReader } from "../sinks.ts";

@Injectable()
export class RunsTable implements OnModuleInit, OnApplicationShutdown {
  readonly #runs = new Map<string, TrainingRun>();
  readonly #stop = new AbortController();
  #ended: Promise<void> = Promise.resolve();
  #isCaughtUp = false;

  constructor(
    private readonly reader: TableReader,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    health: Health,
  ) {
    health.add("trainings", () => this.#isCaughtUp || "trainings are not read yet");
  }

  async onModuleInit(): Promise<void> {
    const { reader, clock, random, telemetry } = this;
    const context = { reader, clock, random, telemetry, signal: this.#stop.signal };
    const following = await follow(context, topics.trainingResults, (run, { key }) => {
      if (run === null) this.#runs.delete(key ?? "");
      else this.#runs.set(run.runId, run);
    });
    this.#ended = following.ended;
    await following.caughtUp;
    this.#isCaughtUp = true;
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  get(runId: string): TrainingRun | undefined {
    return this.#runs.get(runId);
  }

  /** Newest first. */
  list(model: string | undefined): readonly TrainingRun[] {
    return [...this.#runs.values()]
      .filter((run) => model === undefined || run.model === model)
      .sort((a, b) => b.requestedAt - a.requestedAt);
  }
}
