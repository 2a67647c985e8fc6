/** frame-archive's own API: which frames it keeps, and their pictures. */
import { z } from "zod";
import { frameIdParameter, limit, listOf } from "./parts.ts";
import { bytes, json, route } from "./route.ts";

export const archiveReasons = ["SAMPLE", "LABELLED", "DISAGREEMENT", "SCOPE"] as const;
const long = z.string().regex(/^\d+$/);
const time = z.iso.datetime({ offset: true });
const truth = z.enum(["true", "false"]);

export const archivedFrameSchema = z.object({
  frameId: z.string().describe("deviceId:bootId:cameraId:frameSeq"),
  deviceId: z.string(),
  bootId: long,
  cameraId: z.string(),
  frameSeq: long,
  why: z
    .enum(["UNKNOWN", ...archiveReasons])
    .describe("SAMPLE: drawn at random. LABELLED. DISAGREEMENT: edge and cloud differ. SCOPE: of an open verdict."),
  verdictId: z.string().describe("Of SCOPE; else empty."),
  digest: z.string().describe("SHA-256 of the JPEG."),
  bytes: z.number().int().describe("Of the JPEG."),
  receivedAt: z.string().describe("When the bridge received it."),
  expiresAt: z.string().describe("When its picture is deleted."),
  site: z.string().describe("Of its device when it was kept; empty: none."),
  modelDigest: z.string().describe("Edge package."),
  edgeLabel: z.string(),
  edgeConfidence: z.number(),
  cloudLabel: z.string().nullable().describe("Null: the cloud did not settle it."),
  cloudConfidence: z.number().nullable(),
  reason: z.string().describe("Why the device sent it."),
  sampleDrawn: z.boolean().describe("Whether the random sample drew it."),
  samplePropensity: z.number().describe("Probability with which the random sample drew it."),
  label: z
    .object({
      label: z.string().nullable().describe("Null: somebody looked, and it cannot be labelled."),
      source: z.enum(["UNKNOWN", "PERSON", "IMPORT", "MEASUREMENT"]),
      labelledBy: z.string(),
      labelledAt: z.string(),
    })
    .nullable()
    .describe("The newest label that people or measurements gave it; null: none."),
});
export type ArchivedFrameView = z.output<typeof archivedFrameSchema>;

export const archivedFrameQuery = z.strictObject({
  device: z.string().optional(),
  site: z.string().optional(),
  why: z.enum(archiveReasons).optional(),
  since: time.optional().describe("Received at or after; RFC 3339."),
  until: time.optional().describe("Received before."),
  sampleDrawn: truth.optional(),
  labelled: truth.optional().describe("Whether it has a label other than null."),
  limit: limit(100),
  after: z.string().max(400).optional().describe("`next` of the page before."),
});
export type ArchivedFrameQuery = z.output<typeof archivedFrameQuery>;

export const archivedFramesSchema = listOf(archivedFrameSchema).extend({
  next: z.string().nullable().describe("For `after`; null: there are no more."),
});
export type ArchivedFramePage = z.output<typeof archivedFramesSchema>;

export const frameArchiveApi = {
  frames: {
    list: route({
      method: "GET",
      path: "/frames",
      summary: "Frames whose pictures are kept, those that were received last first.",
      query: archivedFrameQuery,
      response: json("Frames.", archivedFramesSchema),
      problems: [[400, "request-invalid, after-malformed"]],
    }),
    picture: route({
      method: "GET",
      path: "/frames/{frameId}",
      summary: "The JPEG of a frame, as the camera gave it.",
      parameters: frameIdParameter,
      response: bytes("image/jpeg"),
      problems: [
        [400, "frame-id-malformed"],
        [404, "frame-unknown"],
        [410, "picture-expired"],
        [503, "pictures-busy"],
      ],
    }),
  },
};
