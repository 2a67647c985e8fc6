/** JPEGs in one file: their number, their lengths, their bytes. */
import { openSync, readSync } from "node:fs";

export function stringify(jpegs: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(4 + 4 * jpegs.length);
  head.writeUInt32LE(jpegs.length, 0);
  for (const [i, jpeg] of jpegs.entries()) head.writeUInt32LE(jpeg.length, 4 + 4 * i);
  return Buffer.concat([head, ...jpegs]);
}

/** Reads one frame at a time, as from a camera: frames that wait are not the lane's memory. */
export class FramesFile {
  readonly count: number;
  readonly #fd: number;
  readonly #starts: readonly number[];

  constructor(file: string) {
    this.#fd = openSync(file, "r");
    this.count = this.#read(0, 4).readUInt32LE(0);
    const lengths = this.#read(4, 4 * this.count);
    const starts = [4 + 4 * this.count];
    for (let i = 0; i < this.count; i++) starts.push((starts[i] as number) + lengths.readUInt32LE(4 * i));
    this.#starts = starts;
  }

  frame(i: number): Buffer {
    const start = this.#starts[i] as number;
    return this.#read(start, (this.#starts[i + 1] as number) - start);
  }

  #read(start: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    if (readSync(this.#fd, bytes, 0, length, start) !== length) throw new RangeError(`the file ends within ${start}`);
    return bytes;
  }
}
