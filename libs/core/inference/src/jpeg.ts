/** Reads a JPEG's size from its header, so that a picture that would fill the memory is refused before it is decoded; and how
 * strongly it is compressed. */

export type JpegHeader = { readonly width: number; readonly height: number; readonly components: number };

/** null when the bytes are no JPEG, or end before the frame header. */
export function jpegHeader(bytes: Uint8Array): JpegHeader | null {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return null;
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) return null;
    const marker = bytes[at + 1] as number;
    if (marker === 0xff) {
      at += 1; // Fill byte.
    } else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2; // Markers without a segment.
    } else if (marker === 0xd9 || marker === 0xda) {
      return null; // The picture ends or its data starts, and no frame header came.
    } else {
      const length = uint16(bytes, at + 2);
      if (isFrameHeader(marker)) {
        if (length < 8 || at + 10 > bytes.length) return null;
        return { height: uint16(bytes, at + 5), width: uint16(bytes, at + 7), components: bytes[at + 9] as number };
      }
      if (length < 2) return null;
      at += 2 + length;
    }
  }
  return null;
}

/** Sum of the luminance table in Annex K of the JPEG standard, which libjpeg scales by the quality. */
const LUMINANCE_SUM = 3_688;

/** Quality in libjpeg's numbers, 1 to 100, estimated from the first quantisation table; 100 when the bytes have none. */
export function jpegQuality(bytes: Uint8Array): number {
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; at += 2 + uint16(bytes, at + 2)) {
    if (bytes[at + 1] === 0xda) break;
    if (bytes[at + 1] !== 0xdb) continue;
    const isWide = (bytes[at + 4] as number) >> 4 === 1;
    let sum = 0;
    for (let i = 0; i < 64; i++) sum += isWide ? uint16(bytes, at + 5 + 2 * i) : (bytes[at + 5 + i] as number);
    const scale = (100 * sum) / LUMINANCE_SUM;
    return Math.max(1, Math.min(100, Math.round(scale < 100 ? 100 - scale / 2 : 5_000 / scale)));
  }
  return 100;
}

/** SOF0 to SOF15, without DHT (C4), JPG (C8) and DAC (CC). */
const isFrameHeader = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

const uint16 = (bytes: Uint8Array, at: number): number => ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

/** Annex K's luminance table, as JPEG files store it (zigzag order). */
const ANNEX_K = [
  16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61,
  60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113, 121,
  112, 100, 120, 92, 101, 103, 99,
];
/** Annex K's Huffman tables have so many codes in all (DC and AC, luminance and chrominance); optimised ones have fewer. */
const STANDARD_CODES = new Set([12 + 162, 2 * (12 + 162)]);

/** Which encoder made a JPEG, as far as its headers show: whether its quantisation tables are scaled from the standard's, its chroma
 * subsampling, its Huffman tables, and whether it is progressive. Encoders with equal answers may differ all the same. */
export function jpegEncoder(bytes: Uint8Array): string {
  let [tables, subsampling, codes, isProgressive] = ["none", "?", 0, false];
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; at += 2 + uint16(bytes, at + 2)) {
    const marker = bytes[at + 1] as number;
    const end = Math.min(bytes.length, at + 2 + uint16(bytes, at + 2));
    if (marker === 0xda) break;
    if (marker === 0xdb && tables === "none") tables = isAnnexK(bytes, at) ? "standard" : "own";
    if (marker === 0xc4) codes += codesOf(bytes, at + 4, end);
    if (!isFrameHeader(marker) || at + 12 > bytes.length) continue;
    isProgressive = marker === 0xc2;
    const [components, sampling] = [bytes[at + 9] as number, bytes[at + 11] as number];
    subsampling = components === 1 ? "grey" : `${sampling >> 4}x${sampling & 15}`;
  }
  const huffman = isProgressive ? "progressive" : STANDARD_CODES.has(codes) ? "standard" : "optimised";
  return `${tables}/${subsampling}/${huffman}`;
}

/** Whether the first table is Annex K's, scaled and rounded as libjpeg does. */
function isAnnexK(bytes: Uint8Array, at: number): boolean {
  const isWide = (bytes[at + 4] as number) >> 4 === 1;
  const value = (i: number) => (isWide ? uint16(bytes, at + 5 + 2 * i) : (bytes[at + 5 + i] as number));
  let sum = 0;
  for (let i = 0; i < 64; i++) sum += value(i);
  const scale = sum / LUMINANCE_SUM;
  return ANNEX_K.every(
    (entry, i) => Math.abs(value(i) - Math.max(1, Math.min(255, entry * scale))) <= 1 + 0.03 * entry * scale,
  );
}

function codesOf(bytes: Uint8Array, from: number, end: number): number {
  let [at, codes] = [from, 0];
  while (at + 17 <= end) {
    let ofTable = 0;
    for (let i = 1; i <= 16; i++) ofTable += bytes[at + i] as number;
    codes += ofTable;
    at += 17 + ofTable;
  }
  return codes;
}
