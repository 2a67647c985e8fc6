// Writes the photos of this folder as a camera would give them: 300x300 grey JPEGs with labels.json (file -> class).
//   node samples/digits/frames.mjs validation|test OUT [COUNT]
import "@tributary/kernel/node-24";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const { default: sharp } = await import("sharp");

const SIDE = 300;
const [split, out, count = "300"] = process.argv.slice(2);
if (!["validation", "test"].includes(split) || out === undefined) {
  console.error("node samples/digits/frames.mjs validation|test OUT [COUNT]");
  process.exit(2);
}
const { classes, side, training, validation, labels, pixels } = JSON.parse(
  readFileSync(new URL("photos.json", import.meta.url), "utf8"),
);
const bytes = Buffer.from(pixels, "base64");
const [from, to] = split === "validation" ? [training, training + validation] : [training + validation, labels.length];
const named = {};
mkdirSync(out, { recursive: true });
for (let i = from; i < Math.min(to, from + Number(count)); i++) {
  const file = `${String(i).padStart(5, "0")}.jpg`;
  const photo = bytes.subarray(i * side * side, (i + 1) * side * side);
  const jpeg = await sharp(photo, { raw: { width: side, height: side, channels: 1 } })
    .resize(SIDE, SIDE, { kernel: "cubic" })
    .toColourspace("b-w")
    .jpeg({ quality: 90 })
    .toBuffer();
  writeFileSync(join(out, file), jpeg);
  named[file] = classes[labels[i]];
}
writeFileSync(join(out, "labels.json"), `${JSON.stringify(named, null, 2)}\n`);
console.log(`${Object.keys(named).length} frames in ${out}`);
