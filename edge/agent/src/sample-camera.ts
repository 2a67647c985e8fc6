/**
 * A camera that shows stored photos, those of a folder or the samples: JPEGs to standard output at a steady pace, and a ledger
 * of the photos that it showed.
 *
 * A frame's line is in the ledger before its first byte is written, so that losses can be counted from it alone. It exits when
 * its reader does, or when its standard input closes: it never outlives the agent. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { reasonOf } from "@tributary/kernel";
import { stampLine } from "./cameras/stamp.ts";
import { monotonicMs } from "./device-time.ts";
import { openPhotoFolder } from "./photo-folder.ts";

const HELP = `Writes stored photos to standard output as concatenated JPEGs.

Usage: sample-camera --sheets DIR [options]

  --sheets DIR     folder with index.json and its sheets, or of JPEGs
  --fps N          frames a second (10); 0: as fast as they are read
  --frames N       stop after so many; never by default
  --start K        photo of the first frame (0)
  --stride S       how far to the next photo (1)
  --ledger FILE    append one JSON line a frame: {n, photo, label or file, capturedAt, bytes, boot}
  --boot ID        written into the ledger's lines
  --resume         go on behind the frames the ledger already holds; they count toward --frames
  --stamps         an X-Timestamp line before each frame, of this machine's monotonic clock
  --side N         width and height of a frame cut from a sheet (160)
  --help           this text`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      sheets: { type: "string" },
      fps: { type: "string", default: "10" },
      frames: { type: "string" },
      start: { type: "string", default: "0" },
      stride: { type: "string", default: "1" },
      ledger: { type: "string" },
      boot: { type: "string" },
      resume: { type: "boolean", default: false },
      stamps: { type: "boolean", default: false },
      side: { type: "string", default: "160" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return;
  }
  if (values.sheets === undefined) throw new Error("--sheets DIR is missing; see --help");
  const number = (name: "fps" | "frames" | "start" | "stride" | "side", min: number): number => {
    const value = Number(values[name]);
    if (!(value >= min)) throw new Error(`--${name} ${values[name]}: a number from ${min} is needed`);
    return value;
  };
  const framesMax = values.frames === undefined ? Number.POSITIVE_INFINITY : number("frames", 1);
  const [start, stride, side, fps] = [number("start", 0), number("stride", 1), number("side", 16), number("fps", 0)];
  const photos = openPhotoFolder(values.sheets, side);
  const shown = values.resume && values.ledger !== undefined ? linesOf(values.ledger) : 0;
  const ledger = values.ledger === undefined ? undefined : openSync(values.ledger, "a");
  process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0));
  process.stdin.resume();
  process.stdout.on("error", () => process.exit(0));

  const periodMs = fps === 0 ? 0 : 1_000 / fps;
  let dueMs = performance.now();
  for (let n = 1; shown + n <= framesMax; n++) {
    const photo = (start + (shown + n - 1) * stride) % photos.count;
    const jpeg = await photos.jpeg(photo);
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    dueMs = Math.max(dueMs + periodMs, performance.now());
    const line = { n, photo, ...photos.about(photo), capturedAt: Date.now(), bytes: jpeg.length };
    if (ledger !== undefined) {
      writeSync(ledger, `${JSON.stringify(values.boot === undefined ? line : { ...line, boot: values.boot })}\n`);
    }
    const frame = values.stamps ? Buffer.concat([Buffer.from(stampLine(monotonicMs())), jpeg]) : jpeg;
    if (!process.stdout.write(frame)) await new Promise((resolve) => process.stdout.once("drain", resolve));
  }
  if (ledger !== undefined) closeSync(ledger);
  await new Promise<void>((resolve) => process.stdout.end(() => resolve()));
  process.exit(0);
}

function linesOf(file: string): number {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "").length;
  } catch {
    return 0;
  }
}

// Last: classes exist only from their own line on.
try {
  await main();
} catch (error) {
  process.stderr.write(`sample-camera: ${reasonOf(error)}\n`);
  process.exitCode = 2;
}
