import { Controller } from "@nestjs/common";
import { EventPattern, Payload } from "@nestjs/microservices";
import { type CloudRequest, topics } from "@tributary/contracts";
import type { DecodedBatch } from "@tributary/service-kit";
import { Classifier } from "./classifier.ts";
import type { Lane } from "./micro-batcher.ts";

@Controller()
export class RequestsController {
  constructor(private readonly classifier: Classifier) {}

  @EventPattern<string>(topics.requestsHigh.name)
  high(@Payload() batch: DecodedBatch<CloudRequest>): Promise<void> {
    return this.#classify(batch, "high");
  }

  @EventPattern<string>(topics.requestsNormal.name)
  normal(@Payload() batch: DecodedBatch<CloudRequest>): Promise<void> {
    return this.#classify(batch, "normal");
  }

  #classify(batch: DecodedBatch<CloudRequest>, lane: Lane): Promise<void> {
    return this.classifier.classify(
      batch.records.map((record) => record.value),
      lane,
    );
  }
}
