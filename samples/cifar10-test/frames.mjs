// Writes photos of this folder as cameras give them, for a retraining: 160x160 JPEGs with labels.json (file -> class). No photo is in
// two folders.
//   node samples/cifar10-test/frames.mjs OUT
import "@tributary/kernel/node-24";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const { default: sharp } = await import("sharp");
const { sampleFrames } = await import("@tributary/testing");

/** How many, in the order of this folder, and how much light remains. */
const FOLDERS = {
  base: { count: 1_000, light: 1 },
  validation: { count: 400, light: 1 },
  dusk: { count: 900, light: 0.4 },
};
const [out] = process.argv.slice(2);
if (out === undefined) {
  console.error("node samples/cifar10-test/frames.mjs OUT");
  process.exit(2);
}
const { classes } = JSON.parse(readFileSync(new URL("index.json", import.meta.url), "utf8"));
const frames = await sampleFrames(Object.values(FOLDERS).reduce((sum, { count }) => sum + count, 0));
let from = 0;
for (const [name, { count, light }] of Object.entries(FOLDERS)) {
  const named = {};
  mkdirSync(join(out, name), { recursive: true });
  for (const [i, { jpeg, label }] of frames.slice(from, from + count).entries()) {
    const file = `${String(from + i).padStart(5, "0")}.jpg`;
    const seen = light === 1 ? jpeg : await sharp(jpeg).linear(light, 0).jpeg({ quality: 90 }).toBuffer();
    writeFileSync(join(out, name, file), seen);
    named[file] = classes[label];
  }
  writeFileSync(join(out, name, "labels.json"), `${JSON.stringify(named, null, 2)}\n`);
  console.log(`${count} frames in ${join(out, name)}`);
  from += count;
}
