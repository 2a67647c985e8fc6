import { z } from "zod";
import { positive } from "../call-settings.ts";

export const onnxKeys = {
  backend: z.literal("onnx"),
  /** Folder of the model package. */
  package: z.string().min(1),
  threads: positive.max(64).default(1),
};
