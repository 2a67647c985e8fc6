/**
 * Packages on disk, below one folder, each under the digest of its manifest:
 *
 *     packages/DIGEST/      whole and checked; never written to again
 *     incoming/DIGEST/      a download, resumed after a restart
 *
 * S1. A package is moved to `packages/` by one rename, after all its bytes are synced: it was complete then.
 */
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { type Digest, isDigest } from "@tributary/kernel";
import { syncFolder } from "@tributary/kernel/durable-file";
import { checkPackage } from "../load.ts";

export class PackageFolders {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = resolve(dir);
  }

  packageDir(digest: Digest): string {
    return join(this.dir, "packages", digest);
  }

  incomingDir(digest: Digest): string {
    return join(this.dir, "incoming", digest);
  }

  /** Deletes packages and downloads other than these. One that cannot be deleted is retried the next time. */
  async prune(keep: readonly Digest[]): Promise<void> {
    for (const folder of ["packages", "incoming"]) {
      const names = await readdir(join(this.dir, folder)).catch(() => []);
      for (const name of names) {
        if (keep.includes(name)) continue;
        await rm(join(this.dir, folder, name), { recursive: true, force: true }).catch(() => undefined);
      }
    }
  }

  /** S1: from `incoming/` into its place, whatever was there before. */
  async place(digest: Digest): Promise<void> {
    const [from, to] = [this.incomingDir(digest), this.packageDir(digest)];
    await mkdir(dirname(to), { recursive: true });
    await rm(to, { recursive: true, force: true });
    await rename(from, to);
    await syncFolder(dirname(to));
    await syncFolder(dirname(from));
  }

  /** Digests in `packages/`. */
  async packages(): Promise<readonly Digest[]> {
    return (await readdir(join(this.dir, "packages")).catch(() => [])).filter(isDigest);
  }

  /** Whether it is there, every byte; a damaged one is deleted. */
  async has(digest: Digest): Promise<boolean> {
    const dir = this.packageDir(digest);
    if (!(await this.packages()).includes(digest)) return false;
    try {
      await checkPackage(dir, { digest });
      return true;
    } catch {
      await rm(dir, { recursive: true, force: true });
      return false;
    }
  }
}
