/**
 * Whether bytes are one whole JPEG by their structure: markers, a frame with a size, a scan, an end. It finds what
 * transport and cameras do (truncation, other formats, garbage); only a decoder finds damage inside the scan.
 */

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;

/** The fault, for people; undefined if there is none. */
export function jpegFault(jpeg: Uint8Array): string | undefined {
  if (jpeg[0] !== 0xff || jpeg[1] !== SOI) return "it does not start with FF D8";
  let end = jpeg.length;
  while (end > 2 && jpeg[end - 1] === 0) end--; // some cameras pad with zeros
  if (jpeg[end - 2] !== 0xff || jpeg[end - 1] !== EOI) return "it does not end with FF D9";
  let sized = false;
  let at = 2;
  while (at < end) {
    if (jpeg[at] !== 0xff) return `no marker at byte ${at}`;
    while (jpeg[at] === 0xff) at++; // markers may be padded with FF
    const marker = jpeg[at++];
    if (marker === undefined || marker === EOI) return "it ends before a scan";
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;
    const length = ((jpeg[at] ?? 0) << 8) | (jpeg[at + 1] ?? 0);
    if (length < 2 || at + length > end) return `the segment at byte ${at - 2} is longer than the image`;
    if (marker === SOS) return sized ? undefined : "a scan comes before the frame's size";
    if (isFrameHeader(marker)) {
      const height = ((jpeg[at + 3] ?? 0) << 8) | (jpeg[at + 4] ?? 0);
      const width = ((jpeg[at + 5] ?? 0) << 8) | (jpeg[at + 6] ?? 0);
      if (length < 8 || height === 0 || width === 0) return "its size is zero";
      sized = true;
    }
    at += length;
  }
  return "it has no scan";
}

const isFrameHeader = (marker: number): boolean =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
