import { Body, Controller, Get, HttpCode, Post, Query } from "@nestjs/common";
import { ApiBody, ApiOperation, ApiTags } from "@nestjs/swagger";
import { z } from "zod";
import { Answers, openApiSchema, Problems, QueryOf } from "../http/api-doc.ts";
import { validated } from "../http/validated.ts";
import { labelBatchSchema, labelResultSchema, nextLabelSchema, nextQuerySchema } from "./label.ts";
import { Labels } from "./labels.ts";

@ApiTags("labels")
@Controller("api/v1/labels")
export class LabelsController {
  constructor(private readonly labels: Labels) {}

  @Post()
  @HttpCode(200)
  @ApiOperation({
    summary: "Takes labels of frames, by people or measurements; answers once Kafka has them.",
    description:
      "Each label is judged alone: bad ones are named in the answer, the others are stored. Sending a batch again is safe.",
  })
  @ApiBody({ schema: openApiSchema(labelBatchSchema) })
  @Answers(200, "What became of each.", labelResultSchema)
  @Problems([400, "request-invalid"], [503, "kafka-unavailable, search-busy"])
  take(@Body() body: unknown) {
    return this.labels.take(validated(labelBatchSchema, body, "body"));
  }

  @Get("next")
  @ApiOperation({
    summary: "The next frames worth a person's label: drawn samples first, then those edge and cloud disagree on.",
  })
  @QueryOf(nextQuerySchema)
  @Answers(200, "Frames without a label, newest first of each kind.", z.object({ items: z.array(nextLabelSchema) }))
  @Problems([400, "request-invalid"])
  next(@Query() query: unknown) {
    const { limit, ...filter } = validated(nextQuerySchema, query, "query");
    return { items: this.labels.next(filter, limit) };
  }
}
