/** AWS' client as all stores use it. */
import { S3Client } from "@aws-sdk/client-s3";

export type S3Place = {
  readonly bucket: string;
  /** Before every key, e.g. `tributary/`. */
  readonly prefix?: string;
  readonly region: string;
  /** Of another server than AWS'; its buckets are then addressed by path. */
  readonly endpointUrl?: string;
};

/** The client would write lines of its own beside our log; its errors are thrown. */
const SILENT = { trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** Credentials come as AWS' tools find them: environment, files, the machine's or the pod's role. */
export function s3Client({ endpointUrl, region }: Pick<S3Place, "endpointUrl" | "region">): S3Client {
  const endpoint = endpointUrl !== undefined && { endpoint: endpointUrl, forcePathStyle: true };
  return new S3Client({ region, maxAttempts: 3, logger: SILENT, ...endpoint });
}

/** HEAD has no body to name the error in. */
export const isMissing = (error: unknown): boolean =>
  (error as { $metadata?: { httpStatusCode?: number } } | null)?.$metadata?.httpStatusCode === 404 &&
  (error as { name?: string }).name !== "NoSuchBucket";
