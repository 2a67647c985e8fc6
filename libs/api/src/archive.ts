/** Frames whose pictures are kept for labelling and training, long after Kafka deleted them; by the frame archive. */
import { archivedFrameQuery, archivedFramesSchema } from "./frame-archive.ts";
import { json, route } from "./route.ts";

export const archive = {
  list: route({
    method: "GET",
    path: "/api/v1/archive/frames",
    summary: "Frames of the archive, those that were received last first, by the frame archive.",
    description: "Their pictures are at /api/v1/frames/{frameId}/image.",
    query: archivedFrameQuery,
    response: json("Archived frames.", archivedFramesSchema),
    problems: [
      [400, "request-invalid, after-malformed"],
      [501, "frame-archive-not-configured"],
      [502, "frame-archive-refuses, frame-archive-bad-response"],
      [503, "frame-archive-unreachable"],
    ],
  }),
};
