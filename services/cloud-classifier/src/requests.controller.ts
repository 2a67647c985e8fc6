import { Controller, Inject } from "@nestjs/common";
import { EventPattern, Payload } from "@nestjs/microservices";
import { type CloudRequest, topics } from "@tributary/contracts";
import { type DecodedBatch, type DecodedRecord, TELEMETRY, traced } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { Classifier } from "./classifier.ts";
import type { Lane } from "./micro-batcher.ts";

/** The consumer group. */
export const GROUP = "cloud-classifier";

@Controller()
export class RequestsController {
  constructor(
    private readonly classifier: Classifier,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
  ) {}

  @EventPattern<string>(topics.requestsHigh.name)
  high(@Payload() batch: DecodedBatch<CloudRequest>): Promise<void> {
    return this.#classify(batch, "high");
  }

  @EventPattern<string>(topics.requestsNormal.name)
  normal(@Payload() batch: DecodedBatch<CloudRequest>): Promise<void> {
    return this.#classify(batch, "normal");
  }

  /** Each frame has its own span: results of the others in its batch may come later. */
  async #classify(batch: DecodedBatch<CloudRequest>, lane: Lane): Promise<void> {
    const one = (record: DecodedRecord<CloudRequest>) =>
      traced(this.telemetry.tracer, GROUP, [record], (records) =>
        this.classifier.classify(
          records.map(({ value }) => value),
          lane,
        ),
      );
    await Promise.all(batch.records.map(one));
  }
}
