/** Comparing preprocessed pictures: exactly within one implementation, within a band between two (METHODS B1). A tensor's
 * digest is taken over its values quantised at 1e-3, so that the last bits of a float do not matter. Two values in
 * neighbouring steps agree: rounding may fall either way. Between implementations, pixels before normalising agree within 2 of
 * 255. */

export const TENSOR_STEP = 1e-3;
export const PIXEL_BAND = 2;

/** The bytes whose SHA-256 is the tensor's digest: little-endian int32 of round(value / 1e-3). */
export function quantiseTensor(tensor: ArrayLike<number>): Uint8Array {
  const bytes = new Uint8Array(tensor.length * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < tensor.length; i++) view.setInt32(i * 4, Math.round((tensor[i] as number) / TENSOR_STEP), true);
  return bytes;
}

export type TensorComparison = { readonly kind: "equal" | "different" | "shape"; readonly stepsMax: number };

/** Compares two quantised tensors (`quantiseTensor`), one step tolerated. */
export function compareQuantised(a: Uint8Array, b: Uint8Array): TensorComparison {
  if (a.length !== b.length || a.length % 4 !== 0) return { kind: "shape", stepsMax: Number.POSITIVE_INFINITY };
  const left = new DataView(a.buffer, a.byteOffset, a.byteLength);
  const right = new DataView(b.buffer, b.byteOffset, b.byteLength);
  let stepsMax = 0;
  for (let i = 0; i < a.length; i += 4) {
    stepsMax = Math.max(stepsMax, Math.abs(left.getInt32(i, true) - right.getInt32(i, true)));
  }
  return { kind: stepsMax <= 1 ? "equal" : "different", stepsMax };
}

export type PixelComparison = {
  readonly kind: "equal" | "within-band" | "different" | "shape";
  readonly differenceMax: number;
  readonly differenceMean: number;
};

/** Compares two resized pictures before normalising. */
export function comparePixels(a: Uint8Array, b: Uint8Array): PixelComparison {
  if (a.length !== b.length || a.length === 0) {
    return { kind: "shape", differenceMax: Number.POSITIVE_INFINITY, differenceMean: Number.POSITIVE_INFINITY };
  }
  let differenceMax = 0;
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs((a[i] as number) - (b[i] as number));
    differenceMax = Math.max(differenceMax, difference);
    sum += difference;
  }
  const kind = differenceMax === 0 ? "equal" : differenceMax <= PIXEL_BAND ? "within-band" : "different";
  return { kind, differenceMax, differenceMean: sum / a.length };
}
