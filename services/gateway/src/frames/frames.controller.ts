import { Controller, Header, Param, StreamableFile } from "@nestjs/common";
import { publicApi } from "@tributary/api";
import { Serves } from "@tributary/service-kit";
import { frameIdOf } from "../http/validated.ts";
import { ExplainSources, explain } from "./explain.ts";
import { FramePictures } from "./frame-pictures.ts";

const { frames } = publicApi;

@Controller()
export class FramesController {
  constructor(
    private readonly sources: ExplainSources,
    private readonly pictures: FramePictures,
  ) {}

  @Serves(frames.explanation)
  explanation(@Param("frameId") frameId: string) {
    return explain(this.sources, frameIdOf(frameId));
  }

  @Serves(frames.image)
  @Header("x-content-type-options", "nosniff")
  async image(@Param("frameId") frameId: string) {
    const { mediaType: type } = frames.image.response;
    return new StreamableFile(await this.pictures.find(frameIdOf(frameId)), { type });
  }
}
