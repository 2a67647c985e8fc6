/**
 * Which blobs a device needs: the files of the packages that signed metadata lists, and their manifests.
 *
 * Blobs of validation sets, of the slices of trainings, of gates' reports, of revoked versions and of what was uploaded and
 * never listed are not among them. A digest that is in a package and in a set as well is a package's: devices need it.
 */
import { Inject, Injectable } from "@nestjs/common";
import { type Digest, reasonOf } from "@tributary/kernel";
import { TELEMETRY } from "@tributary/service-kit";
import type { Telemetry } from "@tributary/telemetry";
import { TufRepository } from "@tributary/tuf/repository";
import { packageUnreadable } from "../events.ts";
import { Packages } from "../models/packages.ts";

@Injectable()
export class PackageBlobs {
  /** Files by package; a manifest never changes. */
  readonly #files = new Map<Digest, ReadonlySet<Digest>>();
  readonly #reading = new Map<Digest, Promise<void>>();
  readonly #tuf: Pick<TufRepository, "listed">;
  readonly #packages: Pick<Packages, "manifest">;
  readonly #telemetry: Telemetry;

  constructor(
    @Inject(TufRepository) tuf: Pick<TufRepository, "listed">,
    @Inject(Packages) packages: Pick<Packages, "manifest">,
    @Inject(TELEMETRY) telemetry: Telemetry,
  ) {
    this.#tuf = tuf;
    this.#packages = packages;
    this.#telemetry = telemetry;
  }

  async has(digest: Digest): Promise<boolean> {
    const listed = this.#tuf.listed();
    if (listed.has(digest)) return true;
    for (const known of this.#files.keys()) if (!listed.has(known)) this.#files.delete(known);
    await Promise.all([...listed.keys()].filter((one) => !this.#files.has(one)).map((one) => this.#readOnce(one)));
    return [...listed.keys()].some((one) => this.#files.get(one)?.has(digest));
  }

  #readOnce(modelDigest: Digest): Promise<void> {
    const reading = this.#reading.get(modelDigest) ?? this.#read(modelDigest);
    this.#reading.set(modelDigest, reading);
    return reading.finally(() => this.#reading.delete(modelDigest));
  }

  /** A package whose manifest cannot be read now gives nothing away, and is read again at the next request. */
  async #read(modelDigest: Digest): Promise<void> {
    try {
      const { manifest } = await this.#packages.manifest(modelDigest);
      this.#files.set(modelDigest, new Set(Object.values(manifest.files).map(({ sha256 }) => sha256)));
    } catch (error) {
      this.#telemetry.emit(packageUnreadable, { modelDigest, reason: reasonOf(error) });
    }
  }
}
