/** A folder and the set that is pushed from it have one digest. What an untrusted manifest may not contain is tested at the
 * registry's door: services/model-registry. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { checkManifest, describeFolder, parseValidationManifest } from "./manifest.ts";

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

test("the same picture twice is named, and too few frames are", async () => {
  const twice = await folder("twice");
  await writeFile(join(twice, "cat/2.jpg"), "picture cat/0.jpg");
  const { manifest } = await describeFolder(twice);
  expect(() => checkManifest(manifest)).toThrow(/counts once; leave out: cat\/2\.jpg is cat\/0\.jpg/);
  await expect(describeFolder(await folder("few", 99))).rejects.toThrow(/99 frames are too few/);
});
