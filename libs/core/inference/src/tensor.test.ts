import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { jpegHeader } from "./jpeg.ts";
import { softmax } from "./softmax.ts";
import { comparePixels, compareQuantised, quantiseTensor } from "./tensor.ts";

test.each([1, 2, 3])("tensors agree up to one step of 1e-3, whatever the last bits (seed %i)", (seed) => {
  const random = seededRandom(seed);
  const tensor = Float32Array.from({ length: 500 }, () => random() * 5 - 2.5);
  const nudged = tensor.map((value) => value + (random() - 0.5) * 1e-3);
  const other = tensor.map((value, i) => (i === 250 ? value + 5e-3 : value));
  const quantised = quantiseTensor(tensor);
  expect(compareQuantised(quantised, quantiseTensor(tensor)).stepsMax).toBe(0);
  expect(compareQuantised(quantised, quantiseTensor(nudged)).kind).toBe("equal");
  expect(compareQuantised(quantised, quantiseTensor(other))).toEqual({ kind: "different", stepsMax: 5 });
  expect(compareQuantised(quantised, quantised.subarray(4)).kind).toBe("shape");
});

test("pixels agree within 2 of 255", () => {
  const pixels = Uint8Array.from({ length: 30 }, (_, i) => i * 8);
  const changed = (by: number) => pixels.map((value, i) => (i === 7 ? value + by : value));
  expect(comparePixels(pixels, pixels).kind).toBe("equal");
  expect(comparePixels(pixels, changed(2))).toMatchObject({ kind: "within-band", differenceMax: 2 });
  expect(comparePixels(pixels, changed(3)).kind).toBe("different");
  expect(comparePixels(pixels, pixels.subarray(1)).kind).toBe("shape");
});

test.each([1, 2, 3])("softmax: sums to 1, keeps the order, softens with temperature (seed %i)", (seed) => {
  const random = seededRandom(seed);
  const logits = Float32Array.from({ length: 10 }, () => (random() - 0.5) * 2_000);
  const sharp = softmax(logits, 1);
  expect(sharp.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  expect(sharp.every((p) => p >= 0 && Number.isFinite(p))).toBe(true);
  expect(sharp.indexOf(Math.max(...sharp))).toBe(logits.indexOf(Math.max(...logits)));
  expect(Math.max(...softmax(logits, 500))).toBeLessThan(Math.max(...sharp));
});

test("a JPEG's size is read from its header alone", () => {
  const frameHeader = [0xff, 0xc2, 0, 17, 8, 0x01, 0xe0, 0x02, 0x80, 3];
  const app0 = [0xff, 0xe0, 0, 4, 0xff, 0xc0]; // Its content must not be taken for a marker.
  const jpeg = Uint8Array.from([0xff, 0xd8, ...app0, 0xff, 0xff, ...frameHeader.slice(1)]);
  expect(jpegHeader(jpeg)).toEqual({ width: 640, height: 480, components: 3 });
  for (let length = 0; length < jpeg.length; length++) expect(jpegHeader(jpeg.subarray(0, length))).toBeNull();
  expect(jpegHeader(Uint8Array.from([0xff, 0xd8, 0xff, 0xda, 0, 8, 1, 2]))).toBeNull();
  expect(jpegHeader(Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 1, 2, 3, 4]))).toBeNull();
  expect(jpegHeader(Uint8Array.from([0xff, 0xd8, 0xff, 0xe0, 0, 0, 0, 0, 0]))).toBeNull();
});

test("no bytes make the header reader throw or run on (seeds 1..200)", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const bytes = Uint8Array.from({ length: 64 }, () => (random() < 0.4 ? 0xff : Math.floor(random() * 256)));
    bytes.set([0xff, 0xd8]);
    const header = jpegHeader(bytes);
    if (header !== null) expect(header.width).toBeLessThan(65_536);
  }
});
