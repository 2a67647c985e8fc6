/** A whole package from a real server onto a disk that fails. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { repositoryRoot, tempDir } from "@tributary/testing";
import { loadPackage } from "../load.ts";
import { fetchPackage } from "./fetch-package.ts";
import { PackageFolders } from "./package-folders.ts";

const FACTORY = join(repositoryRoot, "models/edge-resnet8");

let dir: ReturnType<typeof tempDir>;
let server: Server;
let digest: string;
let fetch: (packageStore: PackageFolders) => Promise<void>;

beforeEach(async () => {
  dir = tempDir("fetch-package");
  const pkg = await loadPackage(FACTORY);
  const { name, version, hardwareClass, files } = pkg.manifest;
  digest = pkg.digest;
  const manifest = readFileSync(join(FACTORY, "manifest.json"));
  const paths = new Map(Object.entries(files).map(([path, { sha256 }]) => [sha256, path]));
  paths.set(digest, "manifest.json");
  server = createServer(({ url }, response) => {
    response.end(readFileSync(join(FACTORY, paths.get(url?.split("/").at(-1) ?? "") ?? "")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const packageBytes = Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
  const listed = { name, version, hardwareClass, packageBytes, manifestBytes: manifest.length };
  const trust = { refresh: async () => undefined, listed: () => listed };
  const options = {
    registry: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    // The package is for generic hardware, which fits this device as well.
    hardwareClass: "rpi5",
    wanted: { digest, name, version },
    bytesPerSecondMax: 1e9,
    packageBytesMax: 1e9,
  };
  fetch = (packageStore) => {
    const ports = { trust, packageStore, clock: systemClock, onProgress: () => undefined };
    return fetchPackage(options, ports, new AbortController().signal);
  };
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  dir.remove();
});

test.each(["ENOSPC", "EDQUOT", "EROFS", "EIO"])("%s outside of a file is the disk's as well", async (code) => {
  const packageStore = new PackageFolders(dir.path);
  const fails = () => Promise.reject(Object.assign(new Error(`${code}: rename`), { code }));
  await expect(fetch(Object.assign(new PackageFolders(dir.path), { place: fails }))).rejects.toMatchObject({
    code: "disk-full",
    advice: "retry",
  });
  // Once there is room, all that came is there still.
  await fetch(packageStore);
  expect(await packageStore.packages()).toEqual([digest]);
});
