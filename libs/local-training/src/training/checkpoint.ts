/**
 * What a training is resumed from: parameters and both moments of Adam after a number of steps, with what was spent until then. Batches
 * follow from the step (batches.ts B1), so nothing else is needed, and the resumed training ends with the same weights.
 *
 * The file is replaced as a whole. One that is damaged, or of other inputs, is not used. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { readBounded, writeDurably } from "@tributary/kernel/durable-file";
import type { AdamState, Parameters } from "@tributary/training/local";

const FILE = "checkpoint.bin";
const BYTES_MAX = 2 ** 31 - 1;
const HEADER_BYTES_MAX = 16 << 20;

export type Spent = { readonly cpuSeconds: number; readonly wallSeconds: number };

export type Checkpoint = {
  readonly parameters: Parameters;
  readonly adam: AdamState;
  /** Mean over the last steps; null before the first one. */
  readonly loss: number | null;
  readonly spent: Spent;
};

type Header = Spent & {
  readonly key: string;
  readonly sha256: string;
  readonly step: number;
  readonly loss: number | null;
  readonly parameters: readonly { readonly name: string; readonly length: number }[];
};

export async function writeCheckpoint(
  outDir: string,
  key: string,
  { parameters, adam, loss, spent }: Checkpoint,
): Promise<void> {
  const parts = [...parameters].flatMap(([name, values]) =>
    [values, adam.first.get(name) as Float32Array, adam.second.get(name) as Float32Array].map(
      ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
    ),
  );
  const body = Buffer.concat(parts);
  const header: Header = {
    key,
    sha256: createHash("sha256").update(body).digest("hex"),
    step: adam.step,
    loss,
    parameters: [...parameters].map(([name, { length }]) => ({ name, length })),
    ...spent,
  };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  await writeDurably(join(outDir, FILE), Buffer.concat([length, text, body]));
}

/** null: there is none. A text is why the one that is there cannot be used. */
export async function readCheckpoint(outDir: string, key: string): Promise<Checkpoint | null | string> {
  const bytes = await readBounded(join(outDir, FILE), BYTES_MAX);
  if (bytes === undefined) return null;
  const damaged = "the checkpoint was damaged; training was started over";
  const parsed = bytes === "too-large" ? null : parse(bytes);
  if (parsed === null) return damaged;
  const { header, body } = parsed;
  if (header.key !== key) return "the checkpoint was of another job or dataset; training was started over";
  const valueCount = header.parameters.reduce((sum, { length }) => sum + length, 0);
  if (body.length !== 12 * valueCount || createHash("sha256").update(body).digest("hex") !== header.sha256)
    return damaged;
  const [parameters, first, second] = [new Map(), new Map(), new Map()] as Map<string, Float32Array>[];
  let at = 0;
  for (const { name, length } of header.parameters) {
    for (const map of [parameters, first, second]) {
      const values = new Float32Array(length);
      new Uint8Array(values.buffer).set(body.subarray(at, at + 4 * length));
      map?.set(name, values);
      at += 4 * length;
    }
  }
  return {
    parameters: parameters as Parameters,
    adam: { step: header.step, first: first as Parameters, second: second as Parameters },
    loss: header.loss,
    spent: { cpuSeconds: header.cpuSeconds, wallSeconds: header.wallSeconds },
  };
}

/** Of whatever checkpoint is there; 0 without one. A training that dies again and again at the same step will not end. */
export async function checkpointStep(outDir: string): Promise<number> {
  const bytes = await readBounded(join(outDir, FILE), BYTES_MAX);
  return bytes === undefined || bytes === "too-large" ? 0 : (parse(bytes)?.header.step ?? 0);
}

export const removeCheckpoint = (outDir: string): Promise<void> => rm(join(outDir, FILE), { force: true });

function parse(bytes: Buffer): { header: Header; body: Buffer } | null {
  const length = bytes.length < 4 ? 0 : bytes.readUInt32LE(0);
  if (length === 0 || length > HEADER_BYTES_MAX || 4 + length > bytes.length) return null;
  try {
    const header = JSON.parse(bytes.toString("utf8", 4, 4 + length)) as Header;
    return { header, body: bytes.subarray(4 + length) };
  } catch {
    return null;
  }
}
