/** The three streams that decide what is kept. */
import { Controller } from "@nestjs/common";
import { EventPattern, Payload } from "@nestjs/microservices";
import { type Classifications, type EdgeFrame, type GroundTruth, topics } from "@tributary/contracts";
import type { DecodedBatch } from "@tributary/service-kit";
import { Partitions } from "./partitions.ts";

@Controller()
export class FrameArchiveController {
  constructor(private readonly partitions: Partitions) {}

  @EventPattern<string>(topics.frames.name)
  async frames(@Payload() { partition, records }: DecodedBatch<EdgeFrame>): Promise<void> {
    await this.partitions.worker(partition).frames(records);
  }

  @EventPattern<string>(topics.classifications.name)
  async answers(@Payload() { partition, records }: DecodedBatch<Classifications>): Promise<void> {
    await this.partitions.worker(partition).answers(records);
  }

  @EventPattern<string>(topics.groundTruth.name)
  async labels(@Payload() { partition, records }: DecodedBatch<GroundTruth>): Promise<void> {
    await this.partitions.worker(partition).labels(records);
  }
}
