/** What signed metadata lists of a model beside its digest. */
import type { PackageManifest } from "./manifest.ts";

export type ListedModel = {
  readonly name: string;
  readonly version: string;
  readonly hardwareClass: string;
  /** Of all listed files, without the manifest. */
  readonly packageBytes: number;
  readonly manifestBytes: number;
};

/** What a repository lists of a manifest, without the manifest's own length. */
export function listedPartOf(manifest: PackageManifest): Omit<ListedModel, "manifestBytes"> {
  const { name, version, hardwareClass, files } = manifest;
  return {
    name,
    version,
    hardwareClass,
    packageBytes: Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0),
  };
}
