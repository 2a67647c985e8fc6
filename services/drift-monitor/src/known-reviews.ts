/** What people answered to verdicts, known before input is taken: it restarts baselines, and holds for open verdicts. */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { DriftReviews } from "@tributary/drift";
import { follow } from "@tributary/kafka";
import type { Clock, Random } from "@tributary/kernel";
import { CLOCK, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { TableReader } from "./table-reader.ts";

@Injectable()
export class KnownReviews extends DriftReviews implements OnModuleInit, OnApplicationShutdown {
  readonly #stop = new AbortController();
  #isCaughtUp = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly reader: TableReader,
    health: Health,
  ) {
    super();
    health.add("reviews", () => this.#isCaughtUp || `still reading ${topics.driftReviews.name}`);
  }

  async onModuleInit(): Promise<void> {
    const { clock, random, telemetry, reader } = this;
    const context = { clock, random, telemetry, reader, signal: this.#stop.signal };
    const following = await follow(context, topics.driftReviews, (review, { offset, timestamp: at }) => {
      if (review !== null) this.take(review, { offset, at });
    });
    this.#ended = following.ended;
    await following.caughtUp;
    this.#isCaughtUp = true;
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }
}
