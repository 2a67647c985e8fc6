import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { PhotoPool } from "./photos.ts";

test("light devices see the JPEGs of a folder, each in an order of its own that its seed repeats", async () => {
  const dir = tempDir("photos");
  try {
    await expect(PhotoPool.open(dir.path)).rejects.toMatchObject({ code: "photos-missing" });
    for (const name of ["a.jpg", "b.JPG", "c.jpeg", "labels.json"]) writeFileSync(join(dir.path, name), name);
    const pool = await PhotoPool.open(dir.path);
    const seen = async (seed: number) => {
      const camera = pool.camera(seed);
      return (await Promise.all(Array.from({ length: 40 }, camera))).map(String);
    };
    const [first, again, other] = await Promise.all([seen(1), seen(1), seen(2)]);
    expect(new Set(first)).toEqual(new Set(["a.jpg", "b.JPG", "c.jpeg"]));
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    await pool.close();
  } finally {
    dir.remove();
  }
});
