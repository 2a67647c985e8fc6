/** The model's child alone: what the pipe adds to the bare work, and nothing else. */
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import type { Work } from "./lane.ts";

export async function startChildWork(model: string): Promise<Work> {
  const loaded = await new OnnxModelHost(loadPackage).load(model, { threads: 1 });
  let frames = 0;
  let atMs = 0;
  return {
    modelPid: loaded.pid,
    async frame(jpeg) {
      const result = await loaded.infer(jpeg);
      if (!result.ok) throw new Error(result.message);
      frames += 1;
      atMs = performance.now();
    },
    done: async () => ({ frames, atMs }),
    stop: () => loaded.close(),
  };
}
