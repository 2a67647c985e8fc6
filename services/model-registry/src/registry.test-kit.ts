/** A registry as it is deployed, and what its tests bring along: keys, packages, validation frames, a client. */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { initKeys } from "@tributary/model-packaging";
import { loadPackage, type PackageParts, readPackageFile, writePackage } from "@tributary/model-store";
import { repositoryRoot, type SpawnedService, sampleFrames, spawnService } from "@tributary/testing";

export const EDGE = join(repositoryRoot, "models/edge-resnet8");
export const TOKEN = "a-token-for-the-tests";

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export async function partsOf(dir: string, change: Partial<PackageParts> = {}): Promise<PackageParts> {
  const pkg = await loadPackage(dir);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(pkg.manifest.files)) files[path] = await readPackageFile(pkg, path);
  // The time of a frame is judged; a busy machine must not decide.
  return { ...pkg.manifest, latencyBudgetMs: 5_000, files, ...change };
}

/** The committed test photos as `count` validation frames. */
export async function validationFolder(dir: string, count: number): Promise<string> {
  await mkdir(dir, { recursive: true });
  const names = JSON.parse(await readFile(join(EDGE, "labels.json"), "utf8")) as string[];
  const labels: Record<string, string> = {};
  for (const [i, { jpeg, label }] of (await sampleFrames(count)).entries()) {
    const file = `frame-${String(i).padStart(4, "0")}.jpg`;
    await writeFile(join(dir, file), jpeg);
    labels[file] = names[label] as string;
  }
  await writeFile(join(dir, "labels.json"), JSON.stringify(labels));
  return dir;
}

export const makeKeys = (dataDir: string) =>
  initKeys({ dataDir, offlineDir: join(dataDir, "../offline"), now: Date.now() });

export type RegistryProcess = SpawnedService & { readonly url: string };

export async function startRegistry(dir: string, config: object): Promise<RegistryProcess> {
  const service = await spawnService({
    name: "model-registry",
    main: "services/model-registry/dist/main.js",
    dir,
    config: { auth: { tokens: [TOKEN] }, log: { level: "debug" }, ...config },
  });
  return { ...service, url: `http://127.0.0.1:${service.ports.http}` };
}

export type Answer = { readonly status: number; readonly body: Record<string, unknown> };

/** Without bytes it is not uploaded. */
export type SetFrame = { readonly file: string; readonly label: string; readonly bytes?: Uint8Array | undefined };

export class Client {
  readonly url: string;
  readonly #token: string | undefined;
  readonly #sent = new Set<string>();

  constructor(url: string, token: string | undefined = TOKEN) {
    this.url = url;
    this.#token = token;
  }

  async call(method: string, path: string, body?: object): Promise<Answer> {
    const response = await fetch(this.url + path, {
      method,
      headers: { ...this.#authorization, ...(body && { "content-type": "application/json" }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async put(digest: string, bytes: Uint8Array): Promise<Answer> {
    const headers = { ...this.#authorization, "content-type": "application/octet-stream" };
    const options = { method: "PUT", headers, body: Buffer.from(bytes) };
    const response = await fetch(`${this.url}/blobs/sha256/${digest}`, options);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  /** All of a package but `without`; gives its digest. */
  async upload(dir: string, without: readonly string[] = []): Promise<string> {
    const { manifest, digest } = await loadPackage(dir);
    for (const path of [...Object.keys(manifest.files), "manifest.json"]) {
      if (without.includes(path)) continue;
      const bytes = await readFile(join(dir, path));
      const { status } = await this.put(sha256(bytes), bytes);
      if (status !== 201) throw new Error(`${path}: ${status}`);
    }
    return digest;
  }

  /** Frames as a set of a model: uploads those that are given with bytes, and a manifest of all. */
  async pushSet(model: string, frames: readonly SetFrame[], change: object = {}): Promise<Answer> {
    for (const { bytes } of frames) {
      if (bytes === undefined || this.#sent.has(sha256(bytes))) continue;
      await this.put(sha256(bytes), bytes);
      this.#sent.add(sha256(bytes));
    }
    const listed = frames.map(({ file, label, bytes, ...more }) => ({
      file,
      label,
      sha256: sha256(bytes ?? Buffer.from(file)),
      bytes: bytes?.length ?? 1_000,
      ...more,
    }));
    const manifest = Buffer.from(JSON.stringify({ frames: listed, ...change }));
    await this.put(sha256(manifest), manifest);
    return this.call("PUT", `/validation/${model}`, { manifestDigest: sha256(manifest), by: "ada" });
  }

  async push(dir: string, by = "ada"): Promise<Answer> {
    return this.call("POST", "/models", { manifestDigest: await this.upload(dir), by });
  }

  get #authorization(): Record<string, string> {
    return this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
  }
}

export { writePackage };
