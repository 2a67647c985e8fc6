/**
 * A vehicle's camera, which the agent starts as it starts any: multipart MJPEG on its standard output, at a steady rate, with the time of each
 * frame in its part's header. What it showed, and when, is reported to whoever measures, who changes what it shows: whole pictures of the road,
 * cut ones, one picture with a running clock, or noise in the dark.
 *
 *   node camera.js --socket PATH --pictures DIR [--frozen DIR] [--dark DIR]
 *
 * Hardware waits for nobody: a frame for which its reader has left no room is lost, and is in the report all the same.
 */
import { readdirSync, readFileSync } from "node:fs";
import { createConnection, Socket } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sharedMs } from "./clock.ts";
import { linesOf } from "./lines.ts";

export type Scene = "road" | "cut" | "frozen" | "dark";

export type CameraOrder = {
  readonly scene: Scene;
  readonly fps: number;
  /** How far the clock is off that its stamps are of. */
  readonly stampOffsetMs: number;
};

/** A frame, as the camera reports it. */
export type Shown = {
  readonly capturedMs: number;
  /** Its stamp in µs, by which answers name the frame. */
  readonly stampUs: number;
  /** `lost`: there was no room for it. */
  readonly sent: Scene | "lost";
};

const REPORT_EVERY_MS = 200;
/** So many of ten successive frames are whole while the others are cut. */
const WHOLE_OF_TEN = 1;

function main(): void {
  const { values } = parseArgs({
    options: {
      socket: { type: "string", default: "" },
      pictures: { type: "string", default: "" },
      frozen: { type: "string" },
      dark: { type: "string" },
    },
  });
  const road = jpegsIn(values.pictures);
  const pictures: Readonly<Record<Scene, readonly Buffer[]>> = {
    road,
    cut: road.map(cutOff),
    frozen: values.frozen === undefined ? road : jpegsIn(values.frozen),
    dark: values.dark === undefined ? road : jpegsIn(values.dark),
  };
  let order: CameraOrder | undefined;
  let shown: Shown[] = [];
  const measuring = createConnection(values.socket, () => undefined);
  measuring.on("error", () => process.exit(1)).on("close", () => process.exit(0));
  linesOf(measuring, (line) => {
    const isFirst = order === undefined;
    order = JSON.parse(line) as CameraOrder;
    if (isFirst) void show();
  });
  setInterval(() => {
    measuring.write(`${JSON.stringify(shown)}\n`);
    shown = [];
  }, REPORT_EVERY_MS);
  process.stdin.on("end", () => process.exit(0)).resume();
  // Not process.stdout: what is written there waits for its reader.
  const out = new Socket({ fd: 1, readable: false, writable: true });
  out.on("error", () => process.exit(0));

  async function show(): Promise<void> {
    let dueMs = sharedMs();
    for (let n = 0; order !== undefined; n++) {
      const waitMs = dueMs - sharedMs();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      const { scene, fps, stampOffsetMs } = order;
      const own = pictures[scene === "cut" && n % 10 < WHOLE_OF_TEN ? "road" : scene];
      const capturedMs = sharedMs();
      const stampUs = Math.round(1_000 * (capturedMs + stampOffsetMs));
      const isLost = out.writableLength > 0;
      if (!isLost) out.write(partOf(own[n % own.length] as Buffer, stampUs));
      shown.push({ capturedMs, stampUs, sent: isLost ? "lost" : scene });
      dueMs = Math.max(dueMs + 1_000 / fps, sharedMs() - 1_000 / fps);
    }
  }
}

const partOf = (jpeg: Buffer, stampUs: number): Buffer =>
  Buffer.concat([
    Buffer.from(
      `\r\n--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${jpeg.length}\r\nX-Timestamp: ${(stampUs / 1e6).toFixed(6)}\r\n\r\n`,
    ),
    jpeg,
  ]);

/** The JPEG without its end: it is cut in the middle of its picture. */
function cutOff(jpeg: Buffer): Buffer {
  let end = Math.floor(0.7 * jpeg.length);
  while (jpeg[end - 1] === 0xff) end -= 1;
  return jpeg.subarray(0, end);
}

const jpegsIn = (folder: string): readonly Buffer[] =>
  readdirSync(folder)
    .filter((name) => name.endsWith(".jpg"))
    .toSorted()
    .map((name) => readFileSync(join(folder, name)));

if (process.argv[1] === import.meta.filename) main();
