/** A folder and the set that is pushed from it have one digest. What an untrusted manifest may not contain is tested at the
 * registry's door: services/model-registry. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { checkManifest, describeFolder, parseValidationManifest, slicesOf } from "./manifest.ts";

const dir = tempDir("validation");
afterAll(() => dir.remove());
const files = Array.from({ length: 100 }, (_, i) => `${i % 2 === 0 ? "cat" : "dog"}/${i}.jpg`);

async function folder(name: string, count = 100): Promise<string> {
  for (const kind of ["cat", "dog"]) await mkdir(join(dir.path, name, kind), { recursive: true });
  for (const file of files.slice(0, count)) await writeFile(join(dir.path, name, file), `picture ${file}`);
  return join(dir.path, name);
}

test("by folders or by labels.json, the same frames have the same digest, and the manifest reads back as it is", async () => {
  const byFolder = await describeFolder(await folder("by-folder"));
  const labelled = await folder("labelled");
  const labels = Object.fromEntries([...files].reverse().map((file) => [file, file.split("/")[0]]));
  await writeFile(join(labelled, "labels.json"), JSON.stringify(labels));
  expect((await describeFolder(labelled)).digest).toBe(byFolder.digest);
  expect(parseValidationManifest(byFolder.bytes)).toEqual(byFolder.manifest);
  await writeFile(join(labelled, "cat/0.jpg"), "another picture");
  expect((await describeFolder(labelled)).digest).not.toBe(byFolder.digest);
});

test("slices.json puts frames into slices, which the manifest keeps; a file or a slice that cannot be is refused", async () => {
  const dir = await folder("sliced");
  const slices = async (json: object) => {
    await writeFile(join(dir, "slices.json"), JSON.stringify(json));
    return describeFolder(dir);
  };
  const { manifest, bytes, digest } = await slices({ "cat/0.jpg": "site=north", "dog/1.jpg": "base" });
  expect(parseValidationManifest(bytes)).toEqual(manifest);
  expect(slicesOf(manifest)).toEqual({ base: 99, "site=north": 1 });
  expect((await slices({})).digest).not.toBe(digest);
  expect((await slices({ "dog/1.jpg": "base" })).digest).toBe((await slices({})).digest);
  await expect(slices({ "cat/1.jpg": "site=north" })).rejects.toThrow(/"cat\/1\.jpg" is not a frame of this folder/);
  for (const wrong of ["north", "=north", "a=b\n", `site=${"n".repeat(124)}`, 7]) {
    await expect(slices({ "cat/0.jpg": wrong })).rejects.toThrow(
      /expected base or KEY=VALUE of at most 128 characters/,
    );
    const frames = manifest.frames.map((frame) => ({ ...frame, slice: wrong }));
    expect(() => parseValidationManifest(Buffer.from(JSON.stringify({ frames })))).toThrow(/frames\.0\.slice/);
  }
});

test("devices.json names the device of a frame, which the manifest keeps; a manifest without them reads as before", async () => {
  const dir = await folder("devices");
  const before = await describeFolder(dir);
  const devices = async (json: object) => {
    await writeFile(join(dir, "devices.json"), JSON.stringify(json));
    return describeFolder(dir);
  };
  const { manifest, bytes } = await devices({ "cat/0.jpg": "cam-1" });
  expect(parseValidationManifest(bytes)).toEqual(manifest);
  expect(manifest.frames.filter(({ device }) => device === "cam-1").map(({ file }) => file)).toEqual(["cat/0.jpg"]);
  expect((await devices({})).digest).toBe(before.digest);
  await expect(devices({ "cat/1.jpg": "cam-1" })).rejects.toThrow(/"cat\/1\.jpg" is not a frame of this folder/);
  for (const wrong of ["", "a b", "a".repeat(65), 7]) {
    await expect(devices({ "cat/0.jpg": wrong })).rejects.toThrow(/expected a device's id/);
    const frames = manifest.frames.map((frame) => ({ ...frame, device: wrong }));
    expect(() => parseValidationManifest(Buffer.from(JSON.stringify({ frames })))).toThrow(/frames\.0\.device/);
  }
});

test("the same picture twice is named, and too few frames are", async () => {
  const twice = await folder("twice");
  await writeFile(join(twice, "cat/2.jpg"), "picture cat/0.jpg");
  const { manifest } = await describeFolder(twice);
  expect(() => checkManifest(manifest)).toThrow(/counts once; leave out: cat\/2\.jpg is cat\/0\.jpg/);
  await expect(describeFolder(await folder("few", 99))).rejects.toThrow(/99 frames are too few/);
});
