/** How ONNX Runtime runs, for every model. `keepsMemory`: what a run allocates is kept for the next one. A device has no memory for that; without
 * it a training step spends a third of its time on pages that it asks the kernel for. */
import type ort from "onnxruntime-node";

export function sessionOptions(threads: number, keepsMemory: boolean): ort.InferenceSession.SessionOptions {
  return {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: "sequential",
    graphOptimizationLevel: "all",
    enableCpuMemArena: keepsMemory,
    // 3: errors only; warnings of the optimiser are of no use on a device.
    logSeverityLevel: 3,
    // x64quantprecision: on x86 without VNNI, int8 products of signed weights saturate and answers are silently wrong (the
    // sample's edge model: 76 % right instead of 86 %); weights are made unsigned there, and nothing changes elsewhere.
    extra: { session: { intra_op: { allow_spinning: "0" }, x64quantprecision: "1" } },
  };
}
