/** What is configured of a target whose model runs on a server of its own. Queue, calls and cost are every target's. */
import { httpUrl } from "@tributary/config";
import { packageName } from "@tributary/followed-packages";
import { z } from "zod";

const remote = {
  /** Where the server listens, without the protocol's own path: http://triton:8000. */
  url: httpUrl.transform((url) => url.replace(/\/+$/, "")),
  /** The model's name on the server. */
  model: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "expected a model's name"),
  /** Who decodes, resizes and normalises: `tensor`, this service, as the package describes; `jpeg`, the server. */
  input: z.enum(["tensor", "jpeg"]).default("tensor"),
  /** The model package: its labels, preprocessing, calibration and tensor names. A folder, or NAME@VERSION or NAME@ALIAS of the
   * model registry. */
  package: packageName,
  /** Threads that decode pictures for `input: tensor`. */
  threads: z.number().int().positive().max(64).default(2),
  /** Sent with every request, e.g. `authorization`. */
  headers: z.record(z.string().regex(/^[A-Za-z0-9-]+$/), z.string()).default({}),
};

export const kserveKeys = {
  backend: z.literal("kserve"),
  ...remote,
  /** Only this version may answer; without one the server chooses. */
  version: z
    .string()
    .regex(/^[0-9A-Za-z._-]+$/)
    .optional(),
  /** The package's own names by default. */
  tensors: z.strictObject({ input: z.string().min(1), logits: z.string().min(1) }).optional(),
};

export const tfServingKeys = {
  backend: z.literal("tf-serving"),
  ...remote,
  /** At most one of both; without either the server answers with its latest. */
  version: z.number().int().positive().optional(),
  versionLabel: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/)
    .optional(),
  /** The server's `serving_default` by default. */
  signature: z.string().min(1).optional(),
  /** Where the signature has several outputs, the one that holds the logits. */
  output: z.string().min(1).optional(),
};

const kserveObject = z.strictObject(kserveKeys);
const tfServingObject = z.strictObject(tfServingKeys);
export type KserveConfig = z.output<typeof kserveObject>;
export type TfServingConfig = z.output<typeof tfServingObject>;
