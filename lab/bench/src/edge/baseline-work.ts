/** The bare work on a frame: decode, resize, normalise, run. Nothing is checked, decided, answered or kept. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageFiles, parsePreprocessing } from "@tributary/inference";
import ort from "onnxruntime-node";
import sharp from "sharp";
import type { Work } from "./lane.ts";

export async function startBaselineWork(model: string): Promise<Work> {
  process.env.ORT_DISABLE_TELEMETRY = "1"; // as the agent does; it is read when the first session is made
  sharp.concurrency(1);
  sharp.cache(false);
  const config: unknown = JSON.parse(readFileSync(join(model, packageFiles.preprocessor), "utf8"));
  const { scale, offset, resize } = parsePreprocessing(config);
  const { width, height } = resize ?? { width: 0, height: 0 };
  const session = await ort.InferenceSession.create(join(model, packageFiles.model), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    extra: { session: { x64quantprecision: "1" } }, // right answers on any x86, as the agent has them
  });
  let frames = 0;
  let atMs = 0;
  return {
    modelPid: null,
    async frame(jpeg) {
      const pixels = await sharp(jpeg, { sequentialRead: true })
        .resize(width, height, { kernel: "cubic", fit: "fill", fastShrinkOnLoad: false })
        .raw()
        .toBuffer();
      const area = width * height;
      const tensor = new Float32Array(3 * area);
      for (let channel = 0; channel < 3; channel++) {
        const [a, b] = [scale[channel] as number, offset[channel] as number];
        for (let i = 0; i < area; i++) tensor[channel * area + i] = (pixels[i * 3 + channel] as number) * a + b;
      }
      await session.run({ input: new ort.Tensor("float32", tensor, [1, 3, height, width]) }, ["logits"]);
      frames += 1;
      atMs = performance.now();
    },
    done: async () => ({ frames, atMs }),
    stop: async () => {},
  };
}
