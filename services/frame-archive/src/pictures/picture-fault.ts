/** What is kept is decoded later, by training and by browsers: it must be a JPEG whose header has a size that fits into memory. */
import { jpegHeader } from "@tributary/inference";

/** The fault, for people; undefined if there is none. Bytes behind the header are not decoded. */
export function pictureFault(
  jpeg: Uint8Array,
  pixelsMax: number,
): { readonly outcome: "not-jpeg" | "too-large"; readonly fault: string } | undefined {
  const header = jpegHeader(jpeg);
  if (header === null) return { outcome: "not-jpeg", fault: "its bytes have no JPEG header with a size" };
  const { width, height } = header;
  if (width === 0 || height === 0) return { outcome: "not-jpeg", fault: "its size is zero" };
  if (width * height <= pixelsMax) return undefined;
  return { outcome: "too-large", fault: `${width} x ${height} pixels are more than ${pixelsMax}` };
}
