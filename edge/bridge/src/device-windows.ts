/**
 * What each device has on its way to Kafka is bounded, so that a message waits behind little of any other device: the sink sends
 * what it gets in the order in which it gets it.
 *
 * A device's records leave in their order (G3). The bound is on what the sink has; how much may wait here is bounded by what the
 * bridge reads of a device before it is stored (budget.ts B1).
 *
 * W1. No device has more than `bytesMax` in the sink, except one send alone.
 * W2. When a device's send fails for now, those of its sends that wait are rejected with it, as the sink does with what is behind
 *     a rejected one: none may overtake it (joining-sink.ts S3). A send that Kafka refuses for good rejects only itself. */
import { type OutRecord, type RecordSink, sizeOf } from "@tributary/kafka";
import { Failure } from "@tributary/kernel";

/** Of one device: a quarter of a request to Kafka. */
const WINDOW_BYTES_MAX = 256 * 1_024;

type Waiting = {
  readonly sink: RecordSink;
  readonly record: OutRecord;
  readonly bytes: number;
  readonly stored: PromiseWithResolvers<void>;
};

class DeviceWindow {
  sentBytes = 0;
  readonly waiting: Waiting[] = [];
}

export class DeviceWindows {
  readonly #bytesMax: number;
  readonly #windows = new Map<string, DeviceWindow>();

  constructor(bytesMax: number = WINDOW_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Resolves once the sink has stored the record. */
  send(sink: RecordSink, deviceId: string, record: OutRecord): Promise<void> {
    const window = this.#windows.get(deviceId) ?? new DeviceWindow();
    this.#windows.set(deviceId, window);
    const stored = Promise.withResolvers<void>();
    window.waiting.push({ sink, record, bytes: sizeOf(record), stored });
    this.#pump(deviceId, window);
    return stored.promise;
  }

  #pump(deviceId: string, window: DeviceWindow): void {
    for (let [next] = window.waiting; next !== undefined; [next] = window.waiting) {
      if (window.sentBytes > 0 && window.sentBytes + next.bytes > this.#bytesMax) return; // W1
      window.waiting.shift();
      this.#hand(deviceId, window, next);
    }
    if (window.sentBytes === 0) this.#windows.delete(deviceId);
  }

  #hand(deviceId: string, window: DeviceWindow, { sink, record, bytes, stored }: Waiting): void {
    window.sentBytes += bytes;
    sink.send([record]).then(
      () => {
        window.sentBytes -= bytes;
        stored.resolve();
        this.#pump(deviceId, window);
      },
      (error: unknown) => {
        window.sentBytes -= bytes;
        stored.reject(error);
        if (!(error instanceof Failure) || error.advice === "retry") {
          for (const later of window.waiting.splice(0)) later.stored.reject(error); // W2
        }
        this.#pump(deviceId, window);
      },
    );
  }
}
