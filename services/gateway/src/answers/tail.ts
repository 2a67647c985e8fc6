/** Follows classifications.v1 into the ring and to the subscribers. */
import { topics } from "@tributary/contracts";
import type { Telemetry } from "@tributary/telemetry";
import { answerRepeated } from "../events.ts";
import { type FollowContext, type Following, follow } from "../follower.ts";
import { type Answer, answersOf } from "./answer.ts";
import type { AnswerRing } from "./ring.ts";
import type { Subscribers } from "./subscribers.ts";

export type TailOptions = {
  readonly ring: AnswerRing;
  readonly subscribers: Subscribers;
  readonly telemetry: Telemetry;
  /** Records of each partition read back at start. */
  readonly backlogRecordsMax: number;
  readonly onSeen: (deviceId: string, at: number) => void;
  /** The final answer of a frame, once. */
  readonly onAnswer: (answer: Answer) => void;
};

export function tailAnswers(context: FollowContext, options: TailOptions): Promise<Following> {
  const { ring, subscribers, telemetry, onSeen, onAnswer } = options;
  return follow(context, {
    topic: topics.classifications,
    newest: options.backlogRecordsMax,
    onRecord: (value, record) => {
      onSeen(value.deviceId, record.timestamp);
      for (const answer of answersOf(value, record)) {
        if (ring.add(answer)) {
          subscribers.publish(answer);
          onAnswer(answer);
        } else telemetry.emit(answerRepeated, { frameId: answer.frameId });
      }
    },
  });
}
