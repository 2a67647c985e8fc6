import { Controller, Get, Header, Param, StreamableFile } from "@nestjs/common";
import { ApiOperation, ApiProduces, ApiTags } from "@nestjs/swagger";
import { Answers, FrameIdParam, Problems } from "../http/api-doc.ts";
import { frameIdOf } from "../http/validated.ts";
import { ExplainSources, explain, findPicture } from "./explain.ts";
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

  @Get(":frameId/image")
  @ApiOperation({ summary: "The JPEG of a sent frame, as the camera gave it, while Kafka keeps it." })
  @FrameIdParam()
  @ApiProduces("image/jpeg")
  @Header("x-content-type-options", "nosniff")
  @Problems([400, "frame-id-malformed"], [404, "picture-unknown"], [503, "search-busy"])
  async image(@Param("frameId") frameId: string) {
    return new StreamableFile(await findPicture(this.sources, frameIdOf(frameId)), { type: "image/jpeg" });
  }
}
