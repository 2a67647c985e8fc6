import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { KafkajsSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { CLOCK, TELEMETRY, ThrottleBook } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";

/** Devices that ask for more than their fair share. */
@Injectable()
export class ThrottledDevices extends ThrottleBook implements OnApplicationBootstrap, OnApplicationShutdown {
  constructor(sink: KafkajsSink, @Inject(CLOCK) clock: Clock, @Inject(TELEMETRY) telemetry: Telemetry) {
    super({ reporter: "router", sink, clock, telemetry });
  }

  onApplicationBootstrap(): void {
    this.start();
  }

  onApplicationShutdown(): Promise<void> {
    return this.stop();
  }
}
