/** An ONNX Runtime session of any graph, by the names of its tensors. For use inside a child process only: it loads ONNX Runtime,
 * which may crash its process or fill its memory. */
import { Failure, reasonOf } from "@tributary/kernel";
import { sessionOptions } from "./session-options.ts";

export type GraphTensor = {
  readonly data: Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;
  readonly dims: readonly number[];
};

export type GraphSession = {
  /** Every input by its name; returns the outputs that are listed. */
  run(feeds: Readonly<Record<string, GraphTensor>>, fetches: readonly string[]): Promise<Record<string, GraphTensor>>;
  close(): Promise<void>;
};

/** Throws a Failure `model-unloadable`. */
export async function openGraph(model: Uint8Array, { threads }: { readonly threads: number }): Promise<GraphSession> {
  // ONNX Runtime reads it once, while it is loaded (child-model.ts H7).
  process.env.ORT_DISABLE_TELEMETRY = "1";
  const { default: ort } = await import("onnxruntime-node");
  const session = await ort.InferenceSession.create(model, sessionOptions(threads, true)).catch((error: unknown) => {
    throw new Failure("model-unloadable", "give-up", `ONNX Runtime refuses the graph: ${reasonOf(error)}`, {
      cause: error,
    });
  });
  const tensorOf = ({ data, dims }: GraphTensor) => {
    if (data instanceof Float32Array) return new ort.Tensor("float32", data, dims);
    if (data instanceof Uint8Array) return new ort.Tensor("uint8", data, dims);
    if (data instanceof Int8Array) return new ort.Tensor("int8", data, dims);
    if (data instanceof Int32Array) return new ort.Tensor("int32", data, dims);
    return new ort.Tensor("int64", data, dims);
  };
  return {
    async run(feeds, fetches) {
      const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, tensorOf(tensor)]));
      const outputs = await session.run(tensors, [...fetches]);
      return Object.fromEntries(
        fetches.map((name) => {
          const output = outputs[name] as GraphTensor;
          return [name, { data: output.data, dims: output.dims }];
        }),
      );
    },
    close: () => session.release(),
  };
}
