/** Cameras of the whole fleet, as devices report them: each raises the evidence that an alarm needs. */
import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from "@nestjs/common";
import { topics } from "@tributary/contracts";
import { follow } from "@tributary/kafka";
import type { Clock, Random } from "@tributary/kernel";
import { CLOCK, Health, RANDOM, TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { TableReader } from "./table-reader.ts";

@Injectable()
export class FleetSize implements OnModuleInit, OnApplicationShutdown {
  readonly #camerasOf = new Map<string, number>();
  readonly #stop = new AbortController();
  #cameras = 0;
  #isCaughtUp = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(RANDOM) private readonly random: Random,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly reader: TableReader,
    health: Health,
  ) {
    health.add("devices", () => this.#isCaughtUp || "still reading devices.reported.v1");
  }

  get cameras(): number {
    return this.#cameras;
  }

  async onModuleInit(): Promise<void> {
    const { clock, random, telemetry, reader } = this;
    const context = { clock, random, telemetry, reader, signal: this.#stop.signal };
    const following = await follow(context, topics.reported, (reported, { key }) => {
      this.#reported(key ?? "", reported === null ? 0 : Math.max(1, reported.cameras.length));
    });
    this.#ended = following.ended;
    await following.caughtUp;
    this.#isCaughtUp = true;
  }

  async onApplicationShutdown(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  #reported(deviceId: string, cameras: number): void {
    this.#cameras += cameras - (this.#camerasOf.get(deviceId) ?? 0);
    if (cameras > 0) this.#camerasOf.set(deviceId, cameras);
    else this.#camerasOf.delete(deviceId);
  }
}
