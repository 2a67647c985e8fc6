import type { ServerResponse } from "node:http";
import { Controller, Get, Inject, Param, Query, Res } from "@nestjs/common";
import { ApiOperation, ApiProduces, ApiTags } from "@nestjs/swagger";
import { ANSWER_SOURCES, SETTLED_BY } from "@tributary/contracts";
import { z } from "zod";
import { ExplainSources, findAnswer } from "../frames/explain.ts";
import { Answers, FrameIdParam, Problems, QueryOf } from "../http/api-doc.ts";
import { EVENT_STREAM, eventsBusy } from "../http/subscribers.ts";
import { frameIdOf, validated } from "../http/validated.ts";
import { answerSchema } from "./answer.ts";
import { AnswerRing } from "./ring.ts";
import { ANSWER_SUBSCRIBERS, type AnswerSubscribers } from "./tail.ts";

const filterSchema = z.strictObject({
  deviceId: z.string().optional(),
  source: z.enum(ANSWER_SOURCES).optional(),
  settledBy: z.enum(SETTLED_BY).optional(),
});
const listSchema = filterSchema.extend({ limit: z.coerce.number().int().min(1).max(1_000).default(100) });

@ApiTags("classifications")
@Controller("api/v1/classifications")
export class AnswersController {
  constructor(
    private readonly ring: AnswerRing,
    @Inject(ANSWER_SUBSCRIBERS) private readonly subscribers: AnswerSubscribers,
    private readonly explained: ExplainSources,
  ) {}

  @Get()
  @ApiOperation({ summary: "The newest final answers, newest first." })
  @QueryOf(listSchema)
  @Answers(200, "Final answers.", z.object({ items: z.array(answerSchema) }))
  @Problems([400, "request-invalid"])
  list(@Query() query: unknown) {
    const { limit, ...filter } = validated(listSchema, query, "query");
    return { items: this.ring.recent(filter, limit) };
  }

  @Get("events")
  @ApiOperation({
    summary: "Final answers as they come, as server-sent events.",
    description:
      "Events named `classification` carry one answer each; comments come as heartbeats. A client that does not read is disconnected; it may connect again and ask for what it missed by the list above.",
  })
  @QueryOf(filterSchema)
  @ApiProduces("text/event-stream")
  @Problems([400, "request-invalid"], [503, "events-busy"])
  events(@Query() query: unknown, @Res() response: ServerResponse) {
    const filter = validated(filterSchema, query, "query");
    if (!this.subscribers.hasRoom) throw eventsBusy();
    response.writeHead(200, EVENT_STREAM);
    this.subscribers.add(response, filter);
  }

  @Get(":frameId")
  @ApiOperation({ summary: "The final answer of one frame: its record with the lowest offset." })
  @FrameIdParam()
  @Answers(200, "The final answer.", answerSchema)
  @Problems([400, "frame-id-malformed"], [404, "answer-unknown"], [503, "search-busy"])
  one(@Param("frameId") frameId: string) {
    return findAnswer(this.explained, frameIdOf(frameId));
  }
}
