/** Messages to the device: a routing policy, its desired state, the key of its random sample and the last request to check its
 * golden frames, all retained, the final answers of sent frames, and Kafka's acknowledgements. An unusable message changes nothing, and is logged and counted. */
import { Classifications, ContractError, DeviceAcks, type UplinkStream, uplinkStreams } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type { AnswerFeed } from "./answer-feed.ts";
import type { CloudAnswer } from "./driving/labels.ts";
import * as events from "./events.ts";
import type { SeqRange } from "./outbox/rows.ts";
import type { Slots } from "./slots.ts";
import { traceResult } from "./spans.ts";
import type { Tally } from "./tally.ts";

const SAMPLE_KEY_BYTES = 32;

export type DownlinkPorts = {
  readonly deviceId: string;
  readonly slots: Pick<Slots, "applyPolicy" | "resetPolicy" | "policyToKeep">;
  /** Throws Failure or ContractError. */
  readonly onDesired: (payload: Buffer) => void;
  /** There is no desired state any more. */
  readonly onDesiredCleared: () => void;
  readonly onSampleKey: (key: Uint8Array) => void;
  /** When the check of the golden frames was requested. */
  readonly onCheck: (requestedAt: number) => void;
  /** Of the present boot. */
  readonly onCloudAnswer: (cameraId: string, answer: CloudAnswer) => void;
  readonly bootId: () => string | null;
  /** The same, of frames that the random sample drew. */
  readonly onTruth: (frameId: string, label: string) => void;
  readonly feed: AnswerFeed;
  readonly tally: Tally;
  readonly telemetry: Telemetry;
  readonly onAcks: (bootId: bigint, stream: UplinkStream, ranges: readonly SeqRange[]) => void;
  /** The policy to store; null: none. `isNew` when it differs from the one in force. */
  readonly onPolicy: (bytes: Uint8Array | null, isNew: boolean) => void;
};

export class Downlink {
  readonly #ports: DownlinkPorts;

  constructor(ports: DownlinkPorts) {
    this.#ports = ports;
  }

  policy(payload: Buffer): void {
    this.#use("policy", () => {
      const { slots, onPolicy } = this.#ports;
      // An emptied retained message: the fleet has none (any more) for the active model.
      if (payload.length === 0) {
        const isNew = slots.resetPolicy();
        onPolicy(slots.policyToKeep, isNew);
      } else {
        const isNew = slots.applyPolicy(payload, "downlink");
        onPolicy(payload, isNew);
      }
    });
  }

  sampleKey(payload: Buffer): void {
    this.#use("sampling", () => {
      if (payload.length !== SAMPLE_KEY_BYTES) {
        throw new Failure("sample-key-malformed", "give-up", `${payload.length} bytes; ${SAMPLE_KEY_BYTES} are needed`);
      }
      this.#ports.onSampleKey(payload);
    });
  }

  check(payload: Buffer): void {
    if (payload.length === 0) return;
    this.#use("check", () => {
      const text = payload.toString("latin1");
      if (!/^[0-9]{1,16}$/.test(text)) {
        throw new Failure("check-malformed", "give-up", "expected the ms since 1970 as 1 to 16 digits");
      }
      this.#ports.onCheck(Number(text));
    });
  }

  desired(payload: Buffer): void {
    // An emptied retained message: models stay as they are, but the device is in no experiment any more.
    if (payload.length === 0) this.#ports.onDesiredCleared();
    else this.#use("desired", () => this.#ports.onDesired(payload));
  }

  results(payload: Buffer): void {
    const { deviceId, feed, tally, telemetry, onCloudAnswer, onTruth } = this.#ports;
    this.#use("results", () => {
      const { answers, bootId } = Classifications.decodeSingleObject(payload);
      for (const { costMicros, frameSeq, ...answer } of answers) {
        tally.final(answer.source);
        telemetry.emit(events.finalAnswerReceived, answer);
        const frameId = `${deviceId}:${bootId}:${answer.cameraId}:${frameSeq}`;
        traceResult(telemetry.tracer, frameId, answer.traceparent);
        if (answer.source === "CLOUD" && String(bootId) === this.#ports.bootId()) {
          if (answer.sampleDrawn) onTruth(frameId, answer.label);
          onCloudAnswer(answer.cameraId, {
            label: answer.label,
            confidence: answer.confidence,
            frameSeq: Number(frameSeq),
          });
        }
        feed.final({ frameId, ...answer, frameSeq: Number(frameSeq), costMicros: Number(costMicros) });
      }
    });
  }

  acks(payload: Buffer): void {
    this.#use("acks", () => {
      const { deviceId, bootId, stream, ranges } = DeviceAcks.decodeSingleObject(payload);
      if (deviceId !== this.#ports.deviceId) throw new Failure("acks-of-another", "give-up", `they are ${deviceId}'s`);
      if (!Object.hasOwn(uplinkStreams, stream)) throw new Failure("acks-stream-unknown", "give-up", stream);
      const numbers = ranges.map(({ first, last }) => ({ first: Number(first), last: Number(last) }));
      this.#ports.telemetry.emit(events.recordsConfirmed, { stream, ranges: ranges.length });
      this.#ports.onAcks(bootId, stream as UplinkStream, numbers);
    });
  }

  #use(channel: "check" | "sampling" | "policy" | "desired" | "results" | "acks", act: () => void): void {
    try {
      act();
    } catch (error) {
      const code = error instanceof Failure || error instanceof ContractError ? error.code : "unusable";
      this.#ports.telemetry.emit(events.downlinkRefused, { channel, code, reason: reasonOf(error) });
    }
  }
}
