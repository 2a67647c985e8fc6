export { sha256 } from "./digest.ts";
export { loadPackage, readPackageFile } from "./load.ts";
export { type PackageParts, writePackage } from "./write.ts";
