/** Arrays as numpy saves them (`np.save`; NEP 1), as far as a trainer's tensors need it: float32, little-endian, C order. Pure. */
import { Failure } from "@tributary/kernel";

export type NumpyArray = { readonly shape: readonly number[]; readonly values: Float32Array };

const MAGIC = "\x93NUMPY";
const HEADER_BYTES_MAX = 65_536;

/** Throws Failure `golden-tensors-invalid`. */
export function parseNpy(bytes: Uint8Array, path: string): NumpyArray {
  const refuse = (why: string): never => {
    throw new Failure("golden-tensors-invalid", "ask-a-person", `${path}: ${why}`);
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ascii = (from: number, to: number) => String.fromCharCode(...bytes.subarray(from, to));
  if (bytes.length < 12 || ascii(0, 6) !== MAGIC) refuse("no .npy file: write it with np.save");
  const isLong = (bytes[6] as number) >= 2;
  const start = isLong ? 12 : 10;
  const end = start + (isLong ? view.getUint32(8, true) : view.getUint16(8, true));
  if (end > Math.min(bytes.length, HEADER_BYTES_MAX)) refuse("cut in its header");
  const header = ascii(start, end);
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1] ?? "no plain type";
  if (type !== "<f4") refuse(`its type is ${type}, not little-endian float32: save it with .astype("<f4")`);
  if (/'fortran_order':\s*True/.test(header)) refuse("its order is Fortran's: save np.ascontiguousarray of it");
  const listed = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1] ?? refuse("its header has no shape");
  const shape = listed.split(",").flatMap((side) => (side.trim() === "" ? [] : [Number(side)]));
  const count = shape.reduce((all, side) => all * side, 1);
  if (bytes.length - end !== 4 * count) refuse(`${bytes.length - end} bytes of numbers, its shape takes ${4 * count}`);
  const values = new Float32Array(count);
  new Uint8Array(values.buffer).set(bytes.subarray(end));
  if (!values.every(Number.isFinite)) refuse("not all of its numbers are finite");
  return { shape, values };
}
