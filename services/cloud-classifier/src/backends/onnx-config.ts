import { packageName } from "@tributary/followed-packages";
import { z } from "zod";
import { positive } from "../call-settings.ts";

export const onnxKeys = {
  backend: z.literal("onnx"),
  /** The model package: its folder, or NAME@VERSION or NAME@ALIAS of the model registry. */
  package: packageName,
  threads: positive.max(64).default(1),
};
