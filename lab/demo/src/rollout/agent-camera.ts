/** A folder of JPEGs for a full agent's camera, drawn from the same pool as the light devices' photos. */
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "@tributary/kernel";
import { readPool } from "../photos.ts";

const PHOTOS = 200;

export async function writeCameraFolder(poolDir: string, dir: string, seed: number): Promise<string> {
  const random = seededRandom(1_000_000 + seed);
  const photos = await readPool(poolDir);
  const badShare = 0.3 * random();
  const clear = photos.filter(({ view }) => view === "clear");
  const bad = photos.filter(({ view }) => view !== "clear");
  const pool = await open(join(poolDir, "pool.bin"), "r");
  try {
    await mkdir(dir, { recursive: true });
    for (let i = 0; i < PHOTOS; i++) {
      const from = random() < badShare ? bad : clear;
      const photo = from[Math.floor(random() * from.length)];
      if (photo === undefined) continue;
      const jpeg = Buffer.alloc(photo.bytes);
      await pool.read(jpeg, 0, photo.bytes, photo.from);
      await writeFile(join(dir, `${String(i).padStart(4, "0")}.jpg`), jpeg);
    }
  } finally {
    await pool.close();
  }
  return dir;
}
