import { httpUrl } from "@tributary/config";
import { z } from "zod";
import { positive } from "../call-settings.ts";

const text = z.string().min(1).max(1_024);

/** Credentials come from the SDK's own chain: environment, shared files, container or instance role. */
export const sagemakerKeys = {
  backend: z.literal("sagemaker"),
  endpoint: z.string().regex(/^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$/, "expected an endpoint name"),
  region: z.string().regex(/^[a-z0-9-]{1,40}$/, "expected a region, like eu-central-1"),
  /** Instead of the region's public address, e.g. a VPC endpoint. */
  endpointUrl: httpUrl.optional(),
  /** Production variant to ask, past the endpoint's own weights. */
  variant: text.optional(),
  inferenceComponent: text.optional(),
  /** Of a multi-model endpoint: the model's file below its prefix. */
  targetModel: text.optional(),
  /** `jpeg`: the frame's bytes, one frame a call. `json`: {"instances":[{"b64":"…"}]}, for servers that read text. */
  body: z.enum(["jpeg", "json"]).default("jpeg"),
  contentType: text.optional(),
  accept: text.default("application/json"),
  answer: z
    .strictObject({
      /** `scores`: a row of numbers a frame, in the order of the labels. `labels`: a list of {label, score} a frame. */
      kind: z.enum(["probabilities", "logits", "labels"]).default("probabilities"),
      /** Key of the answer that holds the rows; null: the answer is the rows. By default `probabilities`, `logits` or null. */
      field: text.nullish(),
    })
    .prefault({}),
  /** JSON file with the labels in the model's order: a list, or {"labels": […]}. A package's labels.json fits. */
  labels: z.string().min(1),
  /** Divides logits before the softmax. */
  temperature: z.number().positive().default(1),
  /** Sockets kept open. */
  socketsMax: positive.max(1_024).default(64),
};

const sagemakerObject = z.strictObject(sagemakerKeys);
export type SagemakerConfig = z.output<typeof sagemakerObject>;
