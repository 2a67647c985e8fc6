/** An ONNX graph as plain values: what an adapter reads from a file, and writes to one. Names of tensors are unique; nodes are in
 * the order of their use, as ONNX wants them. */

export type TensorType = "float32" | "uint8" | "int8" | "int32" | "int64" | "bool";

export type Tensor = {
  readonly name: string;
  readonly type: TensorType;
  readonly dims: readonly number[];
  /** Row-major. */
  readonly data: Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;
};

export type AttributeValue =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly tensor: Tensor };

export type GraphNode = {
  readonly name: string;
  /** `Conv`; of another domain than ONNX's own: `com.microsoft:Gelu`. */
  readonly operator: string;
  /** An empty text is an input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Whole numbers as numbers; a `float` is written as such. */
  readonly attributes: Readonly<Record<string, AttributeValue>>;
};

export type TensorInfo = {
  readonly name: string;
  readonly type: TensorType;
  /** Free sizes by their name. */
  readonly shape: readonly (number | string)[];
};

export type OnnxGraph = {
  readonly opset: number;
  readonly irVersion: number;
  readonly nodes: readonly GraphNode[];
  readonly initializers: readonly Tensor[];
  readonly inputs: readonly TensorInfo[];
  readonly outputs: readonly TensorInfo[];
};
