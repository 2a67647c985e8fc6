import { ConfigError, sharedBlocks } from "@tributary/config";
import { FINISHED_MAX } from "@tributary/rollouts";
import { isLoopback } from "@tributary/service-kit";
import { z } from "zod";
import { upstreamBlock } from "./forwarding/upstream.ts";

const positive = z.number().int().positive();

export const configSchema = z.strictObject({
  ...sharedBlocks,
  auth: z
    .strictObject({
      /** Bearer tokens; any of them opens what is not open anyway: health, metrics, the API's description. Empty: open, on
       * loopback only. */
      tokens: z
        .array(z.string().regex(/^\S{16,512}$/, "expected 16 to 512 characters without spaces"))
        .max(100)
        .default([]),
    })
    .prefault({}),
  answers: z
    .strictObject({
      /** Newest final answers kept in memory. */
      recentMax: positive.max(1_000_000).default(20_000),
      /** Records of each partition read back at start to fill it. */
      backlogRecordsMax: z.number().int().min(0).max(100_000).default(500),
    })
    .prefault({}),
  events: z
    .strictObject({
      clientsMax: positive.max(10_000).default(200),
      clientBytesMax: positive.default(1024 * 1024),
      heartbeatMs: positive.default(15_000),
    })
    .prefault({}),
  labels: z
    .strictObject({
      /** Labelled frames remembered, so that a label that is sent twice is written once. */
      rememberedMax: positive.max(10_000_000).default(200_000),
      /** Frames worth a label that are remembered, of each kind: drawn samples, and disagreements of edge and cloud. */
      candidatesMax: positive.max(1_000_000).default(5_000),
      /** Ranges of frames kept to know which exist: about one a camera and boot, plus one a gap. */
      rangesMax: positive.max(10_000_000).default(500_000),
      /** Archived frames that are remembered, as candidates for labels that trainings wait for: about 1 kB each. */
      archivedMax: positive.max(1_000_000).default(50_000),
    })
    .prefault({}),
  rollouts: z
    .strictObject({
      /** Rollouts that are listed, and experiments: of more, those that changed last. */
      rememberedMax: positive.max(100_000).default(1_000),
      /** As rollout-manager's limits.finishedMax: later events of older finished rollouts do not count. */
      finishedMax: positive.max(10_000).default(FINISHED_MAX),
      /** Histories kept in memory, in bytes; older ones are read from Kafka when asked for. */
      historyBytesMax: positive.default(64 * 1024 * 1024),
    })
    .prefault({}),
  drift: z
    .strictObject({
      /** Verdicts that are listed: of more, open ones and those that changed last. */
      rememberedMax: positive.max(100_000).default(1_000),
      /** Profiles that an export may merge sketches into, and how many it may read, for how long. */
      profilesMax: positive.max(1_000_000).default(20_000),
      exportRecordsMax: positive.default(5_000_000),
      exportMsMax: positive.max(600_000).default(25_000),
    })
    .prefault({}),
  trainings: z
    .strictObject({
      /** Trainings that are listed: of more, open ones and those that changed last. */
      rememberedMax: positive.max(100_000).default(1_000),
      /** Events of trainings kept in memory, in bytes. */
      historyBytesMax: positive.default(16 * 1024 * 1024),
    })
    .prefault({}),
  /** The services that execute commands on rollouts, models and trainings; without them the gateway only shows these. */
  rolloutManager: upstreamBlock.optional(),
  modelRegistry: upstreamBlock.optional(),
  trainer: upstreamBlock.optional(),
  /** It has the pictures that Kafka deleted; without it the gateway has those of Kafka only. */
  frameArchive: upstreamBlock.optional(),
  scan: z
    .strictObject({
      /** Newest records of a partition that a search for one frame may read. */
      recordsMax: positive.default(200_000),
      msMax: positive.default(5_000),
      concurrencyMax: positive.max(100).default(4),
    })
    .prefault({}),
});

export type GatewayConfig = z.output<typeof configSchema>;

/** Whoever can reach an open gateway can register devices, so an open one listens on loopback only. */
export function checkConfig(config: GatewayConfig): void {
  if (config.auth.tokens.length > 0 || isLoopback(config.http.host)) return;
  throw new ConfigError("configuration", [
    `auth.tokens: at least one token is needed when http.host is ${config.http.host}; only loopback may be open`,
  ]);
}
