/** Follows classifications.v1 into the ring and to the subscribers. */
import type { Answer, AnswerFilter } from "@tributary/api";
import { type Classifications, topics } from "@tributary/contracts";
import { type FollowContext, type Following, follow, type OnRecord } from "@tributary/kafka";
import { processing, type Telemetry, type Tracer } from "@tributary/telemetry";
import { answerRepeated } from "../events.ts";
import type { StreamFormat, Subscribers } from "../http/subscribers.ts";
import { answersOf } from "./answer.ts";
import { type AnswerRing, matches } from "./ring.ts";

export type AnswerSubscribers = Subscribers<Answer, AnswerFilter>;
export const ANSWER_SUBSCRIBERS = Symbol("subscribers of final answers");
export const answerStream: StreamFormat<Answer, AnswerFilter> = {
  matches,
  textOf: (answer) =>
    `event: classification\nid: ${answer.partition}-${answer.offset}-${answer.cameraId}-${answer.frameSeq}\ndata: ${JSON.stringify(answer)}\n\n`,
};

export type TailOptions = {
  readonly ring: AnswerRing;
  readonly subscribers: AnswerSubscribers;
  readonly telemetry: Telemetry;
  /** Records of each partition read back at start. */
  readonly backlogRecordsMax: number;
  readonly onSeen: (deviceId: string, at: number) => void;
  /** The final answer of a frame, once. */
  readonly onAnswer: (answer: Answer) => void;
};

/** What is read back at the start was traced when it arrived. */
const TRACED_MS_MAX = 60_000;

export function tailAnswers(context: FollowContext, options: TailOptions): Promise<Following> {
  const { ring, subscribers, telemetry, onSeen, onAnswer } = options;
  const onRecord: OnRecord<Classifications> = (value, record) => {
    if (value === null) return;
    onSeen(value.deviceId, record.timestamp);
    for (const answer of answersOf(value, record)) {
      if (context.clock.now() - record.timestamp < TRACED_MS_MAX) traceAnswer(telemetry.tracer, answer);
      if (ring.add(answer)) {
        subscribers.publish(answer);
        onAnswer(answer);
      } else telemetry.emit(answerRepeated, { frameId: answer.frameId, traceparent: answer.traceparent });
    }
  };
  return follow(context, topics.classifications, onRecord, { newest: options.backlogRecordsMax });
}

/** Kept frames have no trace. */
function traceAnswer(tracer: Tracer, { frameId, traceparent: parent }: Answer): void {
  if (parent === null) return;
  const about = { "tributary.frame.id": frameId };
  tracer.span({ ...processing("kafka", topics.classifications.name, about), parent }).end();
}
