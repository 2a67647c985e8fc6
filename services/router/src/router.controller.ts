/** The three streams that the fold takes. */
import { Controller, Inject } from "@nestjs/common";
import { EventPattern, Payload } from "@nestjs/microservices";
import { type CloudResult, type EdgeFrame, type EdgePredictions, topics } from "@tributary/contracts";
import {
  assertUsableFrame,
  assertUsablePredictions,
  assertUsableResult,
  type Effects,
  type SettlementPartition,
} from "@tributary/routing/settlement";
import { CONFIG, type DecodedBatch, type DecodedRecord, TELEMETRY, traced } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { GROUP, type RouterConfig } from "./config.ts";
import { interleave } from "./interleave.ts";
import { Partitions } from "./partitions.ts";
import { ThrottledDevices } from "./throttled-devices.ts";

/** Weight of a poll of which a device had too large a part: ten in ten seconds are reported. */
const A_POLL = 3;

@Controller()
export class RouterController {
  constructor(
    private readonly partitions: Partitions,
    @Inject(CONFIG) private readonly config: RouterConfig,
    @Inject(TELEMETRY) private readonly telemetry: Telemetry,
    private readonly throttled: ThrottledDevices,
  ) {}

  @EventPattern<string>(topics.predictions.name)
  async predictions(@Payload() batch: DecodedBatch<EdgePredictions>): Promise<void> {
    const { ordered, large } = interleave(batch.records, ({ value }) => value.predictions.length);
    for (const deviceId of large) this.throttled.note(deviceId, "records", A_POLL);
    await this.#handle(
      { ...batch, records: ordered },
      assertUsablePredictions,
      (partition, { value, timestamp }, now, effects) => partition.predictions(value, timestamp, now, effects),
    );
  }

  @EventPattern<string>(topics.frames.name)
  async frames(@Payload() batch: DecodedBatch<EdgeFrame>): Promise<void> {
    await this.#handleTraced(batch, assertUsableFrame, (partition, { value, timestamp }, now, effects) =>
      partition.frame(value, timestamp, now, effects),
    );
  }

  @EventPattern<string>(topics.results.name)
  async results(@Payload() batch: DecodedBatch<CloudResult>): Promise<void> {
    await this.#handleTraced(batch, assertUsableResult, (partition, { value, timestamp }, now, effects) =>
      partition.result(value, timestamp, now, effects),
    );
  }

  async #handleTraced<T extends { readonly traceparent: string | null }>(
    batch: DecodedBatch<T>,
    assertUsable: (value: T, key: string | null) => void,
    apply: (partition: SettlementPartition, record: DecodedRecord<T>, now: number, effects: Effects) => void,
  ): Promise<void> {
    await traced(this.telemetry.tracer, GROUP, batch.records, (records) =>
      this.#handle({ ...batch, records }, assertUsable, apply),
    );
  }

  async #handle<T>(
    batch: DecodedBatch<T>,
    assertUsable: (value: T, key: string | null) => void,
    apply: (partition: SettlementPartition, record: DecodedRecord<T>, now: number, effects: Effects) => void,
  ): Promise<void> {
    const unusable: unknown[] = [];
    const usable = batch.records.filter((record) => {
      try {
        assertUsable(record.value, record.key);
        return true;
      } catch (error) {
        unusable.push(error);
        return false;
      }
    });
    // Valid records first: when the batch is repeated one by one to find the poison, they are known already (G8).
    if (usable.length > 0) {
      await this.partitions.worker(batch.partition).handle(usable, apply, this.config.limits.answersUnsavedMax);
    }
    if (unusable.length > 0) throw unusable[0];
  }
}
