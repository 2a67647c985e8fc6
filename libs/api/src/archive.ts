/** Frames whose pictures are kept for labelling and training, long after Kafka deleted them. The frame archive has them. */
import { z } from "zod";
import { limit } from "./parts.ts";
import { json, route } from "./route.ts";

export const archiveWhys = ["SAMPLE", "LABELLED", "DISAGREEMENT", "SCOPE"] as const;

/** A frame as the gateway and the frame archive show it: the record of frames.archive.v1, times as RFC 3339. */
export const archivedFrameSchema = z.object({
  frameId: z.string().describe("deviceId:bootId:cameraId:frameSeq"),
  deviceId: z.string(),
  cameraId: z.string(),
  why: z.enum(["UNKNOWN", ...archiveWhys]).describe("The first reason that it was kept for."),
  verdictId: z.string().describe("Of SCOPE: the verdict of drift. Empty otherwise."),
  digest: z.string().describe("SHA-256 of the JPEG."),
  bytes: z.number().int(),
  receivedAt: z.string(),
  expiresAt: z.string().describe("When the picture is deleted."),
  site: z.string(),
  modelDigest: z.string(),
  edgeLabel: z.string(),
  edgeConfidence: z.number(),
  cloudLabel: z.string().nullable(),
  cloudConfidence: z.number().nullable(),
  reason: z.string().describe("Why the device sent it."),
  sampleDrawn: z.boolean().describe("Whether the random sample drew it."),
  samplePropensity: z.number().describe("The probability with which it was drawn."),
  label: z.string().nullable().describe("The true class; null: it has no label."),
});
export type ArchivedFrameView = z.output<typeof archivedFrameSchema>;

export const archiveQuery = z.strictObject({
  site: z.string().min(1).max(256).optional(),
  device: z.string().min(1).max(256).optional().describe("Id of the device."),
  why: z.enum(archiveWhys).optional(),
  since: z.iso.datetime({ offset: true }).optional().describe("Received from then on; RFC 3339."),
  until: z.iso.datetime({ offset: true }).optional().describe("Received before; RFC 3339."),
  labelled: z.enum(["true", "false"]).optional().describe("Only frames with a label, or only those without."),
  after: z.string().max(400).optional().describe("`next` of the page before."),
  limit: limit(100, 10_000),
});
export type ArchiveQuery = z.output<typeof archiveQuery>;

export const archivedFramesSchema = z.object({
  items: z.array(archivedFrameSchema),
  next: z.string().nullable().describe("`after` of the next page; null: this is the last."),
});

export const archive = {
  frames: route({
    method: "GET",
    path: "/api/v1/archive/frames",
    summary: "Frames of the archive, by the frame archive; their pictures are at /api/v1/frames/{frameId}/image.",
    query: archiveQuery,
    response: json("Archived frames.", archivedFramesSchema),
    problems: [
      [400, "request-invalid"],
      [501, "frame-archive-not-configured"],
      [502, "frame-archive-refuses, frame-archive-bad-response"],
      [503, "frame-archive-unreachable"],
    ],
  }),
};
