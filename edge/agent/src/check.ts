/** What a valid file can still get wrong: the package and the places it names. Every problem is named at once. */
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ConfigError } from "@tributary/config";
import { packageFiles, parseLabels, parseManifest } from "@tributary/inference";
import { reasonOf } from "@tributary/kernel";
import type { AgentConfig } from "./config.ts";
import { PolicyKeeper } from "./policy-keeper.ts";

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
  attempt("model.package", () => mustBeEdgePackage(config.model.package));
  for (const [i, camera] of config.cameras.entries()) {
    if (camera.kind === "folder") attempt(`cameras.${i}.folder`, () => mustBeFolder(camera.folder));
    if (camera.kind === "sheet") {
      attempt(`cameras.${i}.sheets`, () => accessSync(join(camera.sheets, "index.json"), constants.R_OK));
      const { ledger } = camera;
      if (ledger !== undefined) attempt(`cameras.${i}.ledger`, () => mustBeWritable(dirname(resolve(ledger))));
    }
  }
  if (problems.length > 0) throw new ConfigError("the configuration", problems);
}

function mustBeFolder(path: string): void {
  if (!statSync(path).isDirectory()) throw new Error(`${path} is not a folder`);
}

/** It is made at start where it does not exist, so what must be writable is its nearest ancestor that does. */
function mustBeWritable(path: string): void {
  let at = resolve(path);
  while (!existsSync(at)) at = dirname(at);
  mustBeFolder(at);
  accessSync(at, constants.W_OK);
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
    else if (createHash("sha256").update(readFileSync(file)).digest("hex") !== sha256) {
      wrong.push(`${path} is not what the manifest says`);
    }
  }
  if (wrong.length > 0) throw new Error(`${folder}: ${wrong.join(", ")}`);
  const json = (path: string): unknown => JSON.parse(readFileSync(join(folder, path), "utf8"));
  const model = { digest: "", labels: parseLabels(json(packageFiles.labels)), policy: json(packageFiles.policy) };
  new PolicyKeeper(model, () => "");
}
