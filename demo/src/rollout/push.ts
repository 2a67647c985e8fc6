/** A package into the registry: its files by SHA-256, then the manifest's digest. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { packageFiles } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { loadPackage } from "@tributary/model-store";

const MS_MAX = 120_000;

export async function pushPackage(registryUrl: string, dir: string): Promise<void> {
  const { manifest, digest } = await loadPackage(dir);
  for (const path of [...Object.keys(manifest.files), packageFiles.manifest]) {
    const bytes = await readFile(join(dir, path));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    await send("PUT", `${registryUrl}/blobs/sha256/${sha256}`, "application/octet-stream", new Uint8Array(bytes));
  }
  const body = JSON.stringify({ manifestDigest: digest, by: "demo" });
  await send("POST", `${registryUrl}/models`, "application/json", body);
}

async function send(method: string, url: string, type: string, body: Uint8Array<ArrayBuffer> | string): Promise<void> {
  const headers = { "content-type": type };
  const response = await fetch(url, { method, headers, body, signal: AbortSignal.timeout(MS_MAX) });
  if (response.ok) return;
  throw new Failure("registry-refused", "give-up", `${method} ${url}: ${response.status} ${await response.text()}`);
}
