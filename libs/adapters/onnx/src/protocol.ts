/** The messages on the pipe between a process and its model's child: JPEG bytes one way, answers the other.
 *
 * A message is its length (uint32), its kind (uint8) and a body; numbers are little-endian. Bytes are not copied where the pipe
 * delivers them in one piece.
 *
 * W1. A message longer than `messageBytesMax` is a protocol error, and never allocated.
 * W3. Answers fill their message exactly; announced lengths are checked before anything is allocated. */
import {
  FRAME_GRID,
  type Inference,
  type InferenceResult,
  type InferenceWant,
  type Preprocessing,
} from "@tributary/inference";
import type { Digest } from "@tributary/kernel";

export const messageKinds = {
  init: 1,
  infer: 2,
  ready: 3,
  refused: 4,
  answers: 5,
  prepare: 6,
  inferTensors: 7,
  raise: 8,
} as const;

export const messageBytesMax = 256 << 20;

/** The child's settings, sent first, as JSON. */
export type ChildInit = {
  readonly modelPath: string;
  readonly modelSha256: Digest;
  readonly tensors: { readonly input: string; readonly logits: string; readonly features: string | null };
  readonly classes: number;
  readonly preprocessing: Preprocessing;
  readonly threads: number;
  readonly pixelsMax: number;
};

/** Settings of a child that only preprocesses, as JSON; instead of `ChildInit`. */
export type PrepareInit = {
  readonly preprocessing: Preprocessing;
  /** Of one picture's tensor. */
  readonly shape: readonly number[];
  readonly pixelsMax: number;
};

/** Of a child that has loaded its model, as JSON. `notRaised`: why it is no real-time process though that was asked for. */
export type ChildReady = { readonly notRaised?: string | null };

/** Why a child refused its model, as JSON. */
export type ChildRefusal = { readonly code: string; readonly message: string };

const WANT = { features: 1, tensorDigest: 2, pixels: 4, cells: 8 } as const;
const wants = Object.keys(WANT) as (keyof typeof WANT)[];
const PICTURE_NUMBERS = 9;
const LENGTHS = 6;

export function encodeJson(kind: number, body: unknown): Buffer {
  const text = Buffer.from(JSON.stringify(body));
  return Buffer.concat([head(kind, text.length), text]);
}

export const decodeJson = (body: Buffer): unknown => JSON.parse(body.toString("utf8"));

/** The part of a message of `infer` or `inferTensors` before its pictures (JPEGs, float32 tensors), which follow as they are. */
export function encodeInferHead(
  id: number,
  jpegs: readonly Uint8Array[],
  want: Partial<InferenceWant>,
  kind: number = messageKinds.infer,
): Buffer {
  let bytes = 0;
  for (const jpeg of jpegs) bytes += jpeg.length;
  const size = 7 + 4 * jpegs.length;
  const buffer = Buffer.allocUnsafe(5 + size);
  buffer.writeUInt32LE(1 + size + bytes, 0);
  buffer[4] = kind;
  buffer.writeUInt32LE(id, 5);
  buffer[9] = wants.reduce((flags, name) => flags | (want[name] ? WANT[name] : 0), 0);
  buffer.writeUInt16LE(jpegs.length, 10);
  for (let i = 0; i < jpegs.length; i++) buffer.writeUInt32LE((jpegs[i] as Uint8Array).length, 12 + 4 * i);
  return buffer;
}

export type InferRequest = { readonly id: number; readonly want: InferenceWant; readonly jpegs: readonly Buffer[] };

export function decodeInfer(body: Buffer): InferRequest {
  const flags = body.readUInt8(4);
  const count = body.readUInt16LE(5);
  const jpegs: Buffer[] = [];
  let at = 7 + 4 * count;
  for (let i = 0; i < count; i++) {
    const length = body.readUInt32LE(7 + 4 * i);
    jpegs.push(body.subarray(at, at + length));
    at += length;
  }
  return {
    id: body.readUInt32LE(0),
    want: {
      features: (flags & WANT.features) !== 0,
      tensorDigest: (flags & WANT.tensorDigest) !== 0,
      pixels: (flags & WANT.pixels) !== 0,
      cells: (flags & WANT.cells) !== 0,
    },
    jpegs,
  };
}

export function encodeAnswers(id: number, results: readonly InferenceResult[]): Buffer {
  const parts = results.map(encodeResult);
  const length = 6 + parts.reduce((sum, part) => sum + part.length, 0);
  const start = Buffer.allocUnsafe(11);
  head(messageKinds.answers, length).copy(start);
  start.writeUInt32LE(id, 5);
  start.writeUInt16LE(results.length, 9);
  return Buffer.concat([start, ...parts], 5 + length);
}

export type Answers = { readonly id: number; readonly results: readonly InferenceResult[] };

export function decodeAnswers(body: Buffer): Answers {
  const count = body.readUInt16LE(4);
  const results: InferenceResult[] = [];
  let at = 6;
  const cursor: Cursor = {
    at: () => at,
    skip: (bytes) => {
      at += bytes;
      if (at > body.length) throw new RangeError(`an answer ends ${at - body.length} bytes behind its message`);
      return at;
    },
  };
  for (let i = 0; i < count; i++) results.push(decodeResult(body, cursor));
  if (at < body.length) throw new RangeError(`${body.length - at} bytes follow the answers`);
  return { id: body.readUInt32LE(0), results };
}

function encodeResult(result: InferenceResult): Buffer {
  if (!result.ok) {
    const text = Buffer.from(JSON.stringify({ code: result.code, message: result.message }));
    const buffer = Buffer.allocUnsafe(5 + text.length);
    buffer[0] = 0;
    buffer.writeUInt32LE(text.length, 1);
    text.copy(buffer, 5);
    return buffer;
  }
  const { logits, features, tensorDigest, pixels, cells, picture, timingsMs } = result.inference;
  const digest = tensorDigest === null ? Buffer.alloc(0) : Buffer.from(tensorDigest, "hex");
  const encoder = Buffer.from(picture.encoder);
  const numbers = [
    ...picture.channelMeans,
    ...picture.channelSds,
    picture.luminance,
    picture.bitsPerPixel,
    picture.quality,
    timingsMs.preprocess,
    timingsMs.run,
  ];
  const parts = [digest, pixels ?? new Uint8Array(), cells ?? new Uint8Array(), encoder, picture.grid];
  const lengths = [logits.length, features?.length ?? 0, ...parts.slice(0, -1).map(({ length }) => length)];
  const size = 1 + 4 * LENGTHS + 8 * numbers.length + 4 * (logits.length + (features?.length ?? 0));
  const buffer = Buffer.allocUnsafe(parts.reduce((sum, { length }) => sum + length, size));
  buffer[0] = 1;
  let at = 1;
  for (const value of lengths) at = buffer.writeUInt32LE(value, at);
  for (const value of numbers) at = buffer.writeDoubleLE(value, at);
  for (const floats of [logits, features ?? new Float32Array()]) {
    buffer.set(new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength), at);
    at += floats.byteLength;
  }
  for (const bytes of parts) {
    buffer.set(bytes, at);
    at += bytes.length;
  }
  return buffer;
}

type Cursor = { at(): number; skip(bytes: number): number };

function decodeResult(body: Buffer, cursor: Cursor): InferenceResult {
  const start = cursor.at();
  if (body[start] === 0) {
    const length = body.readUInt32LE(start + 1);
    cursor.skip(5 + length);
    const { code, message } = decodeJson(body.subarray(start + 5, start + 5 + length)) as ChildRefusal;
    return { ok: false, code, message };
  }
  const size = (i: number) => body.readUInt32LE(start + 1 + 4 * i);
  const number = (i: number) => body.readDoubleLE(start + 1 + 4 * LENGTHS + 8 * i);
  cursor.skip(1 + 4 * LENGTHS + 8 * (PICTURE_NUMBERS + 2));
  const logits = floats(body, cursor, size(0));
  const features = size(1) === 0 ? null : floats(body, cursor, size(1));
  const digestAt = cursor.at();
  const pixelsAt = cursor.skip(size(2));
  const cellsAt = cursor.skip(size(3));
  const encoderAt = cursor.skip(size(4));
  const gridAt = cursor.skip(size(5));
  const end = cursor.skip(FRAME_GRID);
  const inference: Inference = {
    logits,
    features,
    tensorDigest: size(2) === 0 ? null : body.toString("hex", digestAt, pixelsAt),
    pixels: size(3) === 0 ? null : new Uint8Array(body.subarray(pixelsAt, cellsAt)),
    cells: size(4) === 0 ? null : new Uint8Array(body.subarray(cellsAt, encoderAt)),
    picture: {
      channelMeans: [number(0), number(1), number(2)],
      channelSds: [number(3), number(4), number(5)],
      luminance: number(6),
      bitsPerPixel: number(7),
      quality: number(8),
      encoder: body.toString("utf8", encoderAt, gridAt),
      grid: new Uint8Array(body.subarray(gridAt, end)),
    },
    timingsMs: { preprocess: number(9), run: number(10) },
  };
  return { ok: true, inference };
}

function floats(body: Buffer, cursor: Cursor, length: number): Float32Array {
  const at = cursor.at();
  const end = cursor.skip(4 * length); // before it is allocated: W3
  const values = new Float32Array(length);
  new Uint8Array(values.buffer).set(body.subarray(at, end));
  return values;
}

function head(kind: number, bodyLength: number): Buffer {
  const buffer = Buffer.allocUnsafe(5);
  buffer.writeUInt32LE(1 + bodyLength, 0);
  buffer[4] = kind;
  return buffer;
}

/** Cuts a byte stream into messages. */
export class MessageReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  readonly #onMessage: (kind: number, body: Buffer) => void;

  constructor(onMessage: (kind: number, body: Buffer) => void) {
    this.#onMessage = onMessage;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= 4) {
      if ((this.#chunks[0] as Buffer).length < 4) this.#join();
      const length = (this.#chunks[0] as Buffer).readUInt32LE(0);
      if (length < 1 || length > messageBytesMax) throw new RangeError(`a message of ${length} bytes`);
      if (this.#bytes < 4 + length) return;
      if ((this.#chunks[0] as Buffer).length < 4 + length) this.#join();
      const first = this.#chunks[0] as Buffer;
      const rest = first.subarray(4 + length);
      if (rest.length > 0) this.#chunks[0] = rest;
      else this.#chunks.shift();
      this.#bytes -= 4 + length;
      this.#onMessage(first[4] as number, first.subarray(5, 4 + length));
    }
  }

  #join(): void {
    this.#chunks = [Buffer.concat(this.#chunks)];
  }
}
