import { Controller, Get, Param } from "@nestjs/common";
import { ApiOperation, ApiTags } from "@nestjs/swagger";
import { Answers, FrameIdParam, Problems } from "../http/api-doc.ts";
import { frameIdOf } from "../http/validated.ts";
import { ExplainSources, explain } from "./explain.ts";
import { explanationSchema } from "./explanation.ts";

@ApiTags("frames")
@Controller("api/v1/frames")
export class FramesController {
  constructor(private readonly sources: ExplainSources) {}

  @Get(":frameId/explanation")
  @ApiOperation({ summary: "Every number of one frame's decision, from the device to its final answer." })
  @FrameIdParam()
  @Answers(200, "The explanation.", explanationSchema)
  @Problems([400, "frame-id-malformed"], [404, "frame-unknown"], [503, "search-busy"])
  explanation(@Param("frameId") frameId: string) {
    return explain(this.sources, frameIdOf(frameId));
  }
}
