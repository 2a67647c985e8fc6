/**
 * A model registry for tests of devices: signed metadata and blobs over HTTP, in memory, as services/model-registry serves
 * them, with the faults that a test sets.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { listedPartOf, packageFiles } from "@tributary/inference";
import { type Digest, systemClock } from "@tributary/kernel";
import { checkPackage } from "@tributary/model-store";
import {
  generateKey,
  initRoot,
  type MetadataStore,
  type Signer,
  signerOf,
  TufRepository,
} from "@tributary/tuf/repository";

/** The bytes to send instead; null: the real ones. */
export type Tamper = (path: string, bytes: Buffer) => Buffer | null | "cut" | "away";

export class TinyModelRegistry {
  readonly rootBytes: Uint8Array;
  /** Requested paths, with the offset of their first byte. */
  readonly asked: { readonly path: string; readonly from: number }[] = [];
  tamper: Tamper = () => null;
  /** Bytes a second a response gets; as fast as it goes by default. */
  bytesPerSecond: number | undefined;
  readonly #repository: TufRepository;
  readonly #files: Map<string, Uint8Array>;
  readonly #server: Server;

  private constructor(repository: TufRepository, files: Map<string, Uint8Array>, rootBytes: Uint8Array) {
    this.#repository = repository;
    this.#files = files;
    this.rootBytes = rootBytes;
    this.#server = createServer((request, response) => {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
      this.asked.push({ path: request.url ?? "", from });
      this.#answer(request.url ?? "", from, response).catch(() => response.destroy());
    });
  }

  static async open(): Promise<TinyModelRegistry> {
    const files = new Map<string, Uint8Array>();
    const signer = (): Signer => signerOf(generateKey(), "test");
    const signers = { targets: signer(), snapshot: signer(), timestamp: signer() };
    const online = {
      targets: signers.targets.publicKey,
      snapshot: signers.snapshot.publicKey,
      timestamp: signers.timestamp.publicKey,
    };
    const rootBytes = initRoot({ rootSigners: [signer(), signer(), signer()], online, now: systemClock.now() });
    const store: MetadataStore = {
      get: async (name) => files.get(`/tuf/${name}`),
      put: async (name, bytes) => void files.set(`/tuf/${name}`, bytes),
      delete: async (name) => void files.delete(`/tuf/${name}`),
    };
    await store.put("1.root.json", rootBytes);
    const repository = await TufRepository.open({ store, signers, clock: systemClock });
    const modelRegistry = new TinyModelRegistry(repository, files, rootBytes);
    await new Promise<void>((resolve) => modelRegistry.#server.listen(0, "127.0.0.1", resolve));
    return modelRegistry;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Puts a package's bytes and lists it. */
  async add(folder: string): Promise<Digest> {
    const { manifest, digest } = await checkPackage(folder);
    const manifestBytes = await readFile(join(folder, packageFiles.manifest));
    this.put(manifestBytes);
    for (const path of Object.keys(manifest.files)) this.put(await readFile(join(folder, path)));
    await this.#repository.list(digest, { ...listedPartOf(manifest), manifestBytes: manifestBytes.length });
    return digest;
  }

  put(bytes: Uint8Array): void {
    this.#files.set(`/blobs/sha256/${createHash("sha256").update(bytes).digest("hex")}`, bytes);
  }

  delist(digest: Digest): Promise<void> {
    return this.#repository.delist(digest);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #answer(path: string, from: number, response: ServerResponse): Promise<void> {
    const stored = this.#files.get(path);
    if (stored === undefined) return void response.writeHead(404).end();
    const tampered = this.tamper(path, Buffer.from(stored));
    if (tampered === "away") return void response.destroy();
    const bytes = Buffer.isBuffer(tampered) ? tampered : Buffer.from(stored);
    const body = bytes.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": body.length,
      ...(from > 0 && { "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
    });
    if (tampered === "cut") {
      // Waits until the client has read: a reset connection discards unread bytes.
      response.write(body.subarray(0, body.length >> 1), () => setTimeout(() => response.destroy(), 500));
      return;
    }
    if (this.bytesPerSecond === undefined) return void response.end(body);
    const piece = Math.max(1, Math.round(this.bytesPerSecond / 50));
    for (let at = 0; at < body.length && !response.destroyed; at += piece) {
      response.write(body.subarray(at, at + piece));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    response.end();
  }
}
