/** Checks beyond the file's schema: the package and the paths that it names. All problems are reported at once. */
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "@tributary/config";
import { packageFiles, parseLabels, parseManifest } from "@tributary/inference";
import { reasonOf } from "@tributary/kernel";
import type { AgentConfig } from "./config.ts";
import { openPhotoFolder } from "./photo-folder.ts";
import { PolicyKeeper } from "./policy-keeper.ts";
import { PackageStore } from "./updates/package-store.ts";

/** Throws ConfigError. */
export function checkAgent(config: AgentConfig, checksDisk: boolean): void {
  const problems: string[] = [];
  const attempt = (key: string, act: () => void) => {
    try {
      act();
    } catch (error) {
      problems.push(`${key}: ${reasonOf(error)}`);
    }
  };
  if (checksDisk) attempt("dataDir", () => mustBeWritable(config.dataDir));
  // A start with a committed model does not need it (G7).
  const mayDoWithout = !checksDisk && new PackageStore(config.dataDir).read().durable.good !== null;
  if (!mayDoWithout) attempt("model.package", () => mustBeEdgePackage(config.model.package));
  const { models } = config;
  if (models !== undefined) attempt("models.root", () => mustBeRoot(models.root));
  if (checksDisk) mustHoldSlots(config.dataDir, attempt);
  for (const [i, camera] of config.cameras.entries()) {
    if (camera.kind === "folder") attempt(`cameras.${i}.folder`, () => mustBeFolder(camera.folder));
    if (camera.kind === "sheet") {
      attempt(`cameras.${i}.sheets`, () => void openPhotoFolder(camera.sheets));
      const { ledger } = camera;
      if (ledger !== undefined) attempt(`cameras.${i}.ledger`, () => mustBeWritable(dirname(resolve(ledger))));
    }
  }
  if (problems.length > 0) throw new ConfigError("the configuration", problems);
}

function mustBeFolder(path: string): void {
  if (!statSync(path).isDirectory()) throw new Error(`${path} is not a folder`);
}

/** It is created at start, so its nearest existing ancestor must be writable. */
function mustBeWritable(path: string): void {
  let at = resolve(path);
  while (!existsSync(at)) at = dirname(at);
  mustBeFolder(at);
  accessSync(at, constants.W_OK);
}

/** The TUF client reports more detail; this finds a wrong path. */
function mustBeRoot(path: string): void {
  const { signed } = JSON.parse(readFileSync(path, "utf8")) as { signed?: { _type?: unknown } };
  if (signed?._type !== "root") throw new Error(`${path} is no root.json`);
}

/** The downloaded models: a starting agent skips a damaged one, and downloads it again. */
function mustHoldSlots(dataDir: string, attempt: (key: string, act: () => void) => void): void {
  const packageStore = new PackageStore(dataDir);
  const { durable, damaged } = packageStore.read();
  attempt("dataDir", () => {
    if (damaged !== null) throw new Error(`models/slots.json: ${damaged}; the package of the configuration would run`);
  });
  for (const ref of [durable.good, durable.previous]) {
    if (ref === null) continue;
    attempt("dataDir", () => {
      const folder = packageStore.packageDir(ref.digest);
      const manifest = readFileSync(join(folder, packageFiles.manifest));
      if (sha256Hex(manifest) !== ref.digest) throw new Error(`${folder}: the manifest is not the package's`);
      mustBeEdgePackage(folder);
    });
  }
}

/** Every file against the manifest, and the file that makes it an edge package. */
function mustBeEdgePackage(folder: string): void {
  const manifest = parseManifest(JSON.parse(readFileSync(join(folder, packageFiles.manifest), "utf8")));
  if (!Object.hasOwn(manifest.files, packageFiles.policy)) {
    throw new Error(`${folder} lists no ${packageFiles.policy}: it is not an edge package`);
  }
  const wrong: string[] = [];
  for (const [path, { sha256 }] of Object.entries(manifest.files)) {
    const file = join(folder, path);
    if (!existsSync(file)) wrong.push(`${path} is missing`);
    else if (sha256Hex(readFileSync(file)) !== sha256) {
      wrong.push(`${path} is not what the manifest lists`);
    }
  }
  if (wrong.length > 0) throw new Error(`${folder}: ${wrong.join(", ")}`);
  const json = (path: string): unknown => JSON.parse(readFileSync(join(folder, path), "utf8"));
  const model = { digest: "", labels: parseLabels(json(packageFiles.labels)), policy: json(packageFiles.policy) };
  new PolicyKeeper(model, () => "");
}

const sha256Hex = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
