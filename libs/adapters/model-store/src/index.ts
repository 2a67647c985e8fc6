export { sha256 } from "./digest.ts";
export { checkPackage, loadPackage, loadWorld, readPackageFile, type WorldPackage } from "./load.ts";
export { type PackageParts, writePackage, writeWorld } from "./write.ts";
