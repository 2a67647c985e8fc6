/** The three streams that the fold takes. What a device sends wrongly is refused by the fold and counted, not a dead letter. */
import { Controller } from "@nestjs/common";
import { EventPattern, Payload } from "@nestjs/microservices";
import { type EdgePredictions, type EdgeSketches, type GroundTruth, topics } from "@tributary/contracts";
import type { DecodedBatch } from "@tributary/service-kit";
import { Partitions } from "./partitions.ts";

@Controller()
export class DriftMonitorController {
  constructor(private readonly partitions: Partitions) {}

  @EventPattern<string>(topics.sketches.name)
  async sketches(@Payload() { partition, records }: DecodedBatch<EdgeSketches>): Promise<void> {
    await this.partitions.worker(partition).sketches(records);
  }

  @EventPattern<string>(topics.predictions.name)
  async predictions(@Payload() { partition, records }: DecodedBatch<EdgePredictions>): Promise<void> {
    await this.partitions.worker(partition).predictions(records);
  }

  @EventPattern<string>(topics.groundTruth.name)
  async labels(@Payload() { partition, records }: DecodedBatch<GroundTruth>): Promise<void> {
    await this.partitions.worker(partition).labels(records);
  }
}
