import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { PhotoPool, type Scene } from "./photos.ts";

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

test("a scene decides what a camera sees from the next photo on, in place of its own mix", async () => {
  const dir = tempDir("photos");
  try {
    const photos = ["clear", "dusk"].flatMap((view) => ["cat", "ship"].map((label) => ({ view, label })));
    const names = photos.map(({ view, label }) => `${view} ${label}`.padEnd(12));
    writeFileSync(join(dir.path, "pool.bin"), names.join(""));
    const pooled = photos.map((photo, i) => ({ ...photo, from: 12 * i, bytes: 12 }));
    writeFileSync(join(dir.path, "pool.json"), JSON.stringify(pooled));
    const pool = await PhotoPool.open(dir.path);
    let scene: Scene = { view: "clear" };
    const camera = pool.camera(1, () => scene);
    const seen = async () => (await Promise.all(Array.from({ length: 200 }, camera))).map((jpeg) => `${jpeg}`.trim());
    expect(new Set(await seen())).toEqual(new Set(["clear cat", "clear ship"]));
    scene = { view: "dusk", classes: ["ship"] };
    const changed = await seen();
    expect(new Set(changed)).toEqual(new Set(["dusk cat", "dusk ship"]));
    expect(changed.filter((photo) => photo === "dusk ship").length).toBeGreaterThan(170);
    scene = { view: "clear", mix: { cat: 0.1, ship: 0.9 } };
    const mixed = await seen();
    expect(new Set(mixed)).toEqual(new Set(["clear cat", "clear ship"]));
    expect(mixed.filter((photo) => photo === "clear ship").length).toBeGreaterThan(160);
    scene = { view: "night" };
    await expect(camera()).rejects.toMatchObject({ code: "photos-missing" });
    await pool.close();
  } finally {
    dir.remove();
  }
});
