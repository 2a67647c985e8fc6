import { expect, test } from "@jest/globals";
import { parseNpy } from "./npy.ts";

/** As np.save writes it: the header padded to 64 bytes, a line's end last. */
function npy(header: string, numbers: Uint8Array, version = 1): Uint8Array {
  const start = version === 1 ? 10 : 12;
  const padded = `${header.padEnd(Math.ceil((start + header.length + 1) / 64) * 64 - start - 1)}\n`;
  const head = Buffer.alloc(start);
  head.write("\x93NUMPY", "latin1");
  head[6] = version;
  if (version === 1) head.writeUInt16LE(padded.length, 8);
  else head.writeUInt32LE(padded.length, 8);
  return new Uint8Array(Buffer.concat([head, Buffer.from(padded, "latin1"), numbers]));
}
const headerOf = (type: string, order: string, shape: string) =>
  `{'descr': '${type}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
const six = new Uint8Array(Float32Array.from([1, -2, 3.5, 4, 5, 6]).buffer);

test.each([1, 2])("an array of format version %i is read", (version) => {
  const { shape, values } = parseNpy(npy(headerOf("<f4", "False", "(2, 3)"), six, version), "a.npy");
  expect([shape, [...values]]).toEqual([
    [2, 3],
    [1, -2, 3.5, 4, 5, 6],
  ]);
  expect(parseNpy(npy(headerOf("<f4", "False", "(6,)"), six, version), "a.npy").shape).toEqual([6]);
});

test.each([
  ["no array", new TextEncoder().encode("no array at all"), "np.save"],
  ["float64", npy(headerOf("<f8", "False", "(3,)"), six), '.astype("<f4")'],
  ["big-endian", npy(headerOf(">f4", "False", "(6,)"), six), "little-endian"],
  ["a record", npy("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (6,), }", six), "no plain type"],
  ["Fortran's order", npy(headerOf("<f4", "True", "(2, 3)"), six), "ascontiguousarray"],
  ["cut", npy(headerOf("<f4", "False", "(2, 3)"), six.subarray(0, 20)), "20 bytes of numbers, its shape takes 24"],
  ["cut in its header", npy(headerOf("<f4", "False", "(2, 3)"), six).subarray(0, 40), "cut in its header"],
  ["NaN", npy(headerOf("<f4", "False", "(1,)"), new Uint8Array(Float32Array.of(Number.NaN).buffer)), "finite"],
])("%s is refused, naming the file and what to do", (_what, bytes, named) => {
  expect(() => parseNpy(bytes, "a.npy")).toThrow(named);
  expect(() => parseNpy(bytes, "a.npy")).toThrow(/^a\.npy: /);
});
