/**
 * The picture of a frame: in Kafka for hours, in the frame archive for as long as the archive keeps it.
 *
 * A frame whose answer is in memory is recent, so Kafka is searched first; any other is sought in the archive first, since a
 * search in Kafka reads whole partitions of pictures. What one does not have, the other may.
 */
import { Inject, Injectable } from "@nestjs/common";
import { frameArchiveApi } from "@tributary/api";
import { type FrameId, formatFrameId } from "@tributary/kernel";
import { Problem } from "@tributary/service-kit";
import type { Upstream } from "../forwarding/upstream.ts";
import { ExplainSources, findPicture } from "./explain.ts";

export const FRAME_ARCHIVE = Symbol("frame-archive");

const JPEG_BYTES_MAX = 16 * 1024 * 1024;

@Injectable()
export class FramePictures {
  constructor(
    private readonly sources: ExplainSources,
    @Inject(FRAME_ARCHIVE) private readonly archive: Upstream,
  ) {}

  /** @throws Problem */
  async find(id: FrameId): Promise<Buffer> {
    const { sources, archive } = this;
    const inKafka = () => findPicture(sources, id);
    if (!archive.isConfigured) return inKafka();
    const frameId = formatFrameId(id);
    const archived = () => archive.bytes(frameArchiveApi.frames.picture, { frameId }, JPEG_BYTES_MAX);
    const isRecent = sources.ring.get(frameId) !== undefined;
    return isRecent ? firstOf(inKafka, archived) : firstOf(archived, inKafka);
  }
}

/** If neither has it, the refusal that may end by itself is returned: a place that cannot be asked may have it. */
async function firstOf(first: () => Promise<Buffer>, second: () => Promise<Buffer>): Promise<Buffer> {
  const refusal = await first().catch((error: unknown) => error);
  if (refusal instanceof Uint8Array) return refusal as Buffer;
  if (!(refusal instanceof Problem)) throw refusal;
  try {
    return await second();
  } catch (error) {
    const isGone = error instanceof Problem && [404, 410].includes(error.details.status);
    if (!isGone) throw error;
    throw [404, 410].includes(refusal.details.status) ? goneOf(refusal, error) : refusal;
  }
}

/** With the code that a client knows: `picture-unknown`. */
const goneOf = (...refusals: readonly Problem[]): Problem =>
  refusals.find(({ details }) => details.code === "picture-unknown") ??
  new Problem(404, "picture-unknown", "give-up", refusals.map(({ message }) => message).join(" "));
