/**
 * Nest's transport for Kafka: one `@EventPattern<string>("topic")` handler per topic gets decoded batches.
 *
 *   @EventPattern<string>(topics.requestsHigh.name)
 *   async classify(@Payload() batch: DecodedBatch<CloudRequest>, @Ctx() context: BatchContext) { … }
 *
 * A handler returns when the whole batch is done; what it throws decides what happens next (batch-handling.ts).
 */
import { type ArgumentsHost, Catch, type RpcExceptionFilter } from "@nestjs/common";
import { BaseRpcContext, type CustomTransportStrategy, Server } from "@nestjs/microservices";
import { type Codec, topics } from "@tributary/contracts";
import type { BatchSource, PartitionEvents } from "@tributary/kafka";
import { invariant } from "@tributary/kernel";
import { lastValueFrom, type Observable, throwError } from "rxjs";
import { type BatchHandling, type DecodedBatch, handleBatch } from "./batch-handling.ts";
import type { Health } from "./health.ts";

export class BatchContext extends BaseRpcContext<[AbortSignal]> {
  /** Aborts when the service stops: unfinished work is delivered again after the restart. */
  get signal(): AbortSignal {
    return this.getArgByIndex(0);
  }
}

export type KafkaBatchesOptions = BatchHandling & {
  /** Makes the consumer of the topics that have handlers. */
  readonly source: (topics: readonly string[]) => BatchSource;
  readonly events?: PartitionEvents;
  /** The consumer ended by an error; the process must exit 1. */
  readonly onCrash: (error: unknown) => void;
  readonly health: Health;
};

export class KafkaBatches extends Server implements CustomTransportStrategy {
  override readonly propagatesEventHandlerErrors = true;
  readonly #options: KafkaBatchesOptions;
  #source: BatchSource | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(options: KafkaBatchesOptions) {
    super();
    this.#options = options;
    options.health.add("consumer", () =>
      this.#source === undefined ? "its consumer of Kafka has not started yet" : (this.#source.problem ?? true),
    );
  }

  override listen(callback: () => void): void {
    const names = [...this.messageHandlers.keys()];
    const codecs = new Map(names.map((name) => [name, codecOf(name)]));
    const source = this.#options.source(names);
    this.#source = source;
    this.#running = source
      .run((batch, signal) => {
        const codec = codecs.get(batch.topic);
        invariant(codec !== undefined, `a batch of ${batch.topic}, which has no handler`);
        return handleBatch(batch, signal, codec, (decoded) => this.#dispatch(decoded, signal), this.#options);
      }, this.#options.events)
      .catch(this.#options.onCrash);
    callback();
  }

  /** Drains: the current batch ends, and finished work is committed. */
  override async close(): Promise<void> {
    await this.#source?.close();
    await this.#running;
  }

  async #dispatch(batch: DecodedBatch<unknown>, signal: AbortSignal): Promise<void> {
    const handler = this.getHandlerByPattern(batch.topic);
    invariant(handler !== null, `no handler for ${batch.topic}`);
    const result: unknown = await handler(batch, new BatchContext([signal]));
    await lastValueFrom(this.transformToObservable(result) as Observable<unknown>, { defaultValue: undefined });
  }

  override on(): void {}

  override unwrap<T>(): T {
    return this.#source as T;
  }
}

/** Nest would turn a Failure into "Internal server error"; the consumer needs the error itself. */
@Catch()
export class PassThrough implements RpcExceptionFilter {
  catch(exception: unknown, _host: ArgumentsHost): Observable<never> {
    return throwError(() => exception);
  }
}

function codecOf(topicName: string): Codec<unknown> {
  const topic = Object.values(topics).find((candidate) => candidate.name === topicName);
  invariant(topic !== undefined, `@EventPattern("${topicName}") names no topic of the contract`);
  return topic.codec as Codec<unknown>;
}
