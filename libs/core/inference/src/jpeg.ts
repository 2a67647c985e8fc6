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
