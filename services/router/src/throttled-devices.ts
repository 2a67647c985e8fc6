import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from "@nestjs/common";
import { KafkajsSink } from "@tributary/kafka";
import type { Clock } from "@tributary/kernel";
import { CLOCK, TELEMETRY, ThrottleTracker } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";

/** Devices that send more than their fair share. */
@Injectable()
export class ThrottledDevices extends ThrottleTracker implements OnApplicationBootstrap, OnApplicationShutdown {
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
