/** A camera's own time of a frame: a line `X-Timestamp: 1719922000.123456` before the JPEG, in seconds of any clock that goes on with time. Servers of multipart MJPEG
 * write it into a part's header (mjpg-streamer); a program that writes JPEGs one after another may write the line alone. Behind a JPEG that is cut it is found where a
 * line break is before it. */
const STAMP = /(?:^|\n)x-timestamp:[ \t]*(\d{1,15}(?:\.\d{1,9})?)[ \t]*(?=\r?\n)/gi;

const LENGTH_MIN = "X-Timestamp:0\n".length;

/** In ms; null: none. `before`: the text before a frame. */
export function stampIn(before: string): number | null {
  if (before.length < LENGTH_MIN) return null;
  const last = [...before.matchAll(STAMP)].at(-1);
  return last === undefined ? null : Number(last[1]) * 1_000;
}

export const stampLine = (ms: number): string => `X-Timestamp: ${(ms / 1_000).toFixed(6)}\r\n`;
