/** Lists of frames, and their pictures: the bytes of a digest never change, so the digest is the ETag. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Controller, Inject, Param, Query, Req, Res } from "@nestjs/common";
import { type ArchivedFrameQuery, frameArchiveApi } from "@tributary/api";
import { type BlobStore, bytesOf } from "@tributary/blob-store";
import type { ArchivedFrame } from "@tributary/contracts";
import { type Clock, Failure, formatFrameId, parseFrameId } from "@tributary/kernel";
import { CLOCK, CONFIG, Problem, Serves, Validated } from "@tributary/service-kit";
import type { FrameArchiveConfig } from "../config.ts";
import { Tables } from "../tables/tables.ts";
import { BLOBS } from "./blobs.ts";

const { list, picture } = frameArchiveApi.frames;
/** They are private: a shared cache must not have them. */
const IMMUTABLE = "private, max-age=31536000, immutable";

@Controller()
export class FramesController {
  readonly #picturesMax: number;
  #pictures = 0;

  constructor(
    @Inject(CONFIG) { limits }: FrameArchiveConfig,
    @Inject(CLOCK) private readonly clock: Clock,
    @Inject(BLOBS) private readonly blobs: BlobStore,
    private readonly tables: Tables,
  ) {
    this.#picturesMax = limits.picturesMax;
  }

  @Serves(list)
  list(@Query(new Validated(list.query)) query: ArchivedFrameQuery) {
    return refusing(() => this.tables.index.list(query, this.clock.now()));
  }

  @Serves(picture)
  async picture(
    @Param("frameId") frameId: string,
    @Req() request: IncomingMessage,
    @Res() response: ServerResponse,
  ): Promise<void> {
    const { digest, bytes } = this.#find(frameId);
    const headers = { etag: `"${digest}"`, "cache-control": IMMUTABLE, "x-content-type-options": "nosniff" };
    if (request.headers["if-none-match"] === headers.etag) {
      response.writeHead(304, headers).end();
      return;
    }
    if (this.#pictures >= this.#picturesMax) {
      const more = { headers: { "Retry-After": "1" } };
      throw new Problem(503, "pictures-busy", "retry", "Too many pictures at once. Try again.", more);
    }
    this.#pictures++;
    try {
      const jpeg = await bytesOf(this.blobs, digest, bytes).catch((error: unknown) => {
        if (error instanceof Failure && error.code === "blob-unknown") throw expired(frameId);
        throw error;
      });
      response.writeHead(200, { ...headers, "content-type": "image/jpeg", "content-length": jpeg.length }).end(jpeg);
    } finally {
      this.#pictures--;
    }
  }

  #find(text: string): ArchivedFrame {
    const frameId = formatFrameId(refusing(() => parseFrameId(text)));
    const found = this.tables.index.find(frameId, this.clock.now());
    if (found === "expired") throw expired(frameId);
    if (found !== undefined) return found;
    const detail = `${frameId} is not in the archive: there was no reason to keep it, or a bound refused it.`;
    throw new Problem(404, "frame-unknown", "give-up", detail);
  }
}

const expired = (frameId: string): Problem =>
  new Problem(
    410,
    "picture-expired",
    "give-up",
    `The picture of ${frameId} is deleted: its time in the archive is over.`,
  );

function refusing<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    throw new Problem(400, error.code, error.advice, error.message);
  }
}
