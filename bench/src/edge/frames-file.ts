/** JPEGs in one file: their number, their lengths, their bytes. */
export function stringify(jpegs: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(4 + 4 * jpegs.length);
  head.writeUInt32LE(jpegs.length, 0);
  for (const [i, jpeg] of jpegs.entries()) head.writeUInt32LE(jpeg.length, 4 + 4 * i);
  return Buffer.concat([head, ...jpegs]);
}

export function parse(file: Buffer): readonly Buffer[] {
  const count = file.readUInt32LE(0);
  let at = 4 + 4 * count;
  return Array.from({ length: count }, (_, i) => {
    const length = file.readUInt32LE(4 + 4 * i);
    at += length;
    return file.subarray(at - length, at);
  });
}
