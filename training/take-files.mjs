// Gives a package some files of another one, and its lineage; every other file stays as it is.
//   node take-files.mjs PACKAGE FROM FILE...
import { loadPackage, readPackageFile, writePackage } from "@tributary/model-store";

const [dir, source, ...taken] = process.argv.slice(2);
if (taken.length === 0) {
  console.error("node take-files.mjs PACKAGE FROM FILE...");
  process.exit(2);
}
const [pkg, from] = [await loadPackage(dir), await loadPackage(source)];
const files = {};
for (const path of Object.keys(pkg.manifest.files)) files[path] = await readPackageFile(pkg, path);
for (const path of taken) files[path] = await readPackageFile(from, path);
console.log(await writePackage(dir, { ...pkg.manifest, lineage: from.manifest.lineage, files }));
