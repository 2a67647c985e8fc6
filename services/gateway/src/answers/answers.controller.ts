import type { ServerResponse } from "node:http";
import { Controller, Inject, Param, Query, Res } from "@nestjs/common";
import { type AnswerFilter, type AnswerQuery, publicApi } from "@tributary/api";
import { Serves } from "@tributary/service-kit";
import { ExplainSources, findAnswer } from "../frames/explain.ts";
import { EVENT_STREAM, eventsBusy } from "../http/subscribers.ts";
import { frameIdOf, Valid } from "../http/validated.ts";
import { AnswerRing } from "./ring.ts";
import { ANSWER_SUBSCRIBERS, type AnswerSubscribers } from "./tail.ts";

const { classifications } = publicApi;

@Controller()
export class AnswersController {
  constructor(
    private readonly ring: AnswerRing,
    @Inject(ANSWER_SUBSCRIBERS) private readonly subscribers: AnswerSubscribers,
    private readonly explained: ExplainSources,
  ) {}

  @Serves(classifications.list)
  list(@Query(Valid(classifications.list.query)) { limit, ...filter }: AnswerQuery) {
    return { items: this.ring.recent(filter, limit) };
  }

  @Serves(classifications.events)
  events(@Query(Valid(classifications.events.query)) filter: AnswerFilter, @Res() response: ServerResponse) {
    if (!this.subscribers.hasRoom) throw eventsBusy();
    response.writeHead(200, EVENT_STREAM);
    this.subscribers.add(response, filter);
  }

  @Serves(classifications.one)
  one(@Param("frameId") frameId: string) {
    return findAnswer(this.explained, frameIdOf(frameId));
  }
}
