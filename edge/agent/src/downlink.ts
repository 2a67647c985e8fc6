/** What comes down: a routing policy, retained, and the final answers of sent frames. A message that cannot be used changes
 * nothing, is named and counted. */
import { Classifications, ContractError } from "@tributary/contracts";
import { Failure, reasonOf } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import type { AnswerFeed } from "./answer-feed.ts";
import * as events from "./events.ts";
import type { PolicyKeeper } from "./policy-keeper.ts";
import type { Tally } from "./tally.ts";

export type DownlinkPorts = {
  readonly deviceId: string;
  readonly policy: PolicyKeeper;
  readonly feed: AnswerFeed;
  readonly tally: Tally;
  readonly telemetry: Telemetry;
  /** The policy is one to keep, null: none is; `isNew` when it differs from the one in force. */
  readonly onPolicy: (bytes: Buffer | null, isNew: boolean) => void;
};

export class Downlink {
  readonly #ports: DownlinkPorts;

  constructor(ports: DownlinkPorts) {
    this.#ports = ports;
  }

  policy(payload: Buffer): void {
    this.#use("policy", () => {
      const { policy, onPolicy } = this.#ports;
      // An emptied retained message: the fleet's policy is taken back.
      if (payload.length === 0) onPolicy(null, policy.reset());
      else {
        const isNew = policy.apply(payload, "downlink");
        onPolicy(payload, isNew);
      }
    });
  }

  results(payload: Buffer): void {
    const { deviceId, feed, tally, telemetry } = this.#ports;
    this.#use("results", () => {
      const { answers, bootId } = Classifications.decodeSingleObject(payload);
      for (const { costMicros, frameSeq, ...answer } of answers) {
        tally.final(answer.source);
        telemetry.emit(events.finalAnswerReceived, answer);
        const frameId = `${deviceId}:${bootId}:${answer.cameraId}:${frameSeq}`;
        feed.final({ frameId, ...answer, frameSeq: Number(frameSeq), costMicros: Number(costMicros) });
      }
    });
  }

  #use(channel: "policy" | "results", act: () => void): void {
    try {
      act();
    } catch (error) {
      const code = error instanceof Failure || error instanceof ContractError ? error.code : "unusable";
      this.#ports.telemetry.emit(events.downlinkRefused, { channel, code, reason: reasonOf(error) });
    }
  }
}
