/** Packages of the model registry: fetched over HTTP into a bounded folder. Not loaded by those who only read packages. */
export { type FetchOptions, fetchPackage } from "./fetch-package.ts";
export { PackageFolders } from "./package-folders.ts";
export { verifyManifest } from "./verify-manifest.ts";
