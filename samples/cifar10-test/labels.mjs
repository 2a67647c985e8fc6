// Stands in for people who label: prints a CSV with the class of each picture that `tributary labels next --save FOLDER` saved, which
// it recognises by its bytes among the photos that cameras show.
//   node samples/cifar10-test/labels.mjs FOLDER PHOTOS
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, photos] = process.argv.slice(2);
if (folder === undefined || photos === undefined) {
  console.error("node samples/cifar10-test/labels.mjs FOLDER PHOTOS");
  process.exit(2);
}
const digestOf = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");
const named = Object.entries(JSON.parse(readFileSync(join(photos, "labels.json"), "utf8")));
const classes = new Map(named.map(([file, label]) => [digestOf(join(photos, file)), label]));
console.log("frameId,label");
for (const picture of readdirSync(folder)) {
  if (!picture.endsWith(".jpg")) continue;
  const label = classes.get(digestOf(join(folder, picture)));
  if (label !== undefined) console.log(`${picture.slice(0, -4).replaceAll(".", ":")},${label}`);
}
