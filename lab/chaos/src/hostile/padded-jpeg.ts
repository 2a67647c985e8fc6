/** A JPEG of about `bytes` bytes that decodes as the given one: comments after its first marker. */
const SOI_BYTES = 2;
const COMMENT = 0xfffe;
const SEGMENT_BYTES_MAX = 65_535;

export function paddedJpeg(jpeg: Buffer, bytes: number): Buffer {
  const comments: Buffer[] = [];
  for (let left = bytes - jpeg.length; left > 4; ) {
    const length = Math.min(SEGMENT_BYTES_MAX, left - 2);
    const comment = Buffer.alloc(2 + length, "x");
    comment.writeUInt16BE(COMMENT, 0);
    comment.writeUInt16BE(length, 2);
    comments.push(comment);
    left -= comment.length;
  }
  return Buffer.concat([jpeg.subarray(0, SOI_BYTES), ...comments, jpeg.subarray(SOI_BYTES)]);
}
