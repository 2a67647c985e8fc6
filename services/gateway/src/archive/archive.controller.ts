import { Controller, Inject, Query } from "@nestjs/common";
import { type ArchivedFrameQuery, frameArchiveApi, publicApi } from "@tributary/api";
import { Serves } from "@tributary/service-kit";
import type { Upstream } from "../forwarding/upstream.ts";
import { FRAME_ARCHIVE } from "../frames/frame-pictures.ts";
import { Valid } from "../http/validated.ts";

const routes = publicApi.archive;

@Controller()
export class ArchiveController {
  constructor(@Inject(FRAME_ARCHIVE) private readonly upstream: Upstream) {}

  @Serves(routes.list)
  list(@Query(Valid(routes.list.query)) query: ArchivedFrameQuery) {
    return this.upstream.call(frameArchiveApi.frames.list, query);
  }
}
