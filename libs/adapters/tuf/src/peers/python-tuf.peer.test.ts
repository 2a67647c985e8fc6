/** python-tuf, the reference implementation, on the other side: what we sign it verifies, and what it signs we verify. */
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "@jest/globals";
import { systemClock } from "@tributary/kernel";
import { tempDir } from "@tributary/testing";
import { python } from "../../../../../tools/peers.mjs";
import { httpFetcher } from "../fetcher.ts";
import { fileOf } from "../metadata.ts";
import { folderMetadataStore } from "../repository/metadata-store.ts";
import { TufRepository } from "../repository/repository.ts";
import { initRoot, rotateRoot } from "../repository/root.ts";
import { digestOf, model, newSigner, onlineSigners, publicKeys } from "../repository.test-kit.ts";
import { targetPath } from "../target.ts";
import { openTrust } from "../trust.ts";

const dir = tempDir("python-tuf");
afterAll(() => dir.remove());

const run = promisify(execFile);
const peer = async (...args: readonly string[]): Promise<string> =>
  (await run(python("tuf"), [join(import.meta.dirname, "python_tuf.py"), ...args])).stdout;

/** A folder over HTTP. */
async function serving<T>(folder: string, work: (url: string) => Promise<T>): Promise<T> {
  const server = createServer((request, response) => {
    const name = (request.url ?? "").slice(1);
    if (!readdirSync(folder).includes(name)) response.writeHead(404).end();
    else response.end(readFileSync(join(folder, name)));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
  }
}

test("it follows our repository, over new roots and new keys, and lists what we list", async () => {
  const folder = join(dir.path, "ours");
  const store = folderMetadataStore(folder);
  const clock = systemClock;
  const rootSigners = [newSigner(), newSigner(), newSigner()];
  const signers = onlineSigners();
  const first = initRoot({ rootSigners, online: publicKeys(signers), now: clock.now() });
  await store.put(fileOf("root", 1), first);
  writeFileSync(join(dir.path, "given.json"), first);
  const repository = await TufRepository.open({ store, signers, clock });
  for (let n = 0; n < 5; n++) await repository.list(digestOf(n), model(n));
  const follow = (url: string) => {
    mkdirSync(join(dir.path, "theirs"), { recursive: true });
    const paths = [0, 4, 9].map((n) => targetPath(digestOf(n)));
    return peer("follow", url, join(dir.path, "given.json"), join(dir.path, "theirs"), ...paths).then(JSON.parse);
  };
  const seen = ({ manifestBytes, ...custom }: ReturnType<typeof model>, digest: string) => ({
    length: manifestBytes,
    hashes: { sha256: digest },
    custom,
  });
  await serving(folder, async (url) => {
    const expected = { [targetPath(digestOf(4))]: seen(model(4), digestOf(4)), [targetPath(digestOf(9))]: null };
    expect(await follow(url)).toEqual({ [targetPath(digestOf(0))]: seen(model(0), digestOf(0)), ...expected });
    await repository.delist(digestOf(0));
    const fresh = onlineSigners();
    const keys = publicKeys(fresh);
    const change = { targets: [keys.targets], snapshot: [keys.snapshot], timestamp: [keys.timestamp] };
    const holders = [...rootSigners.slice(1), newSigner()];
    const root = holders.map(({ publicKey }) => publicKey);
    const next = rotateRoot(first, { ...change, root, now: clock.now() }, [...rootSigners, ...holders.slice(2)]);
    await store.put(fileOf("root", 2), next);
    await TufRepository.open({ store, signers: fresh, clock });
    expect(await follow(url)).toEqual({ [targetPath(digestOf(0))]: null, ...expected });
  });
}, 300_000);

test("we follow its repository, from the first of three roots", async () => {
  const folder = join(dir.path, "made");
  mkdirSync(folder);
  const { manifestBytes, ...custom } = model(3);
  const entry = { length: manifestBytes, sha256: digestOf(3), custom };
  await peer("make", folder, JSON.stringify({ [targetPath(digestOf(3))]: entry, "other/file.txt": entry }));
  await serving(folder, async (url) => {
    const rootBytes = readFileSync(join(folder, "1.root.json"));
    const fetcher = httpFetcher();
    const trust = await openTrust({
      dir: join(dir.path, "device"),
      rootBytes,
      metadataUrl: url,
      fetcher,
      clock: systemClock,
    });
    await trust.refresh(new AbortController().signal);
    expect(trust.listed(digestOf(3))).toEqual(model(3));
    expect(trust.state()).toMatchObject({ rootVersion: 3, timestampVersion: 7, targetsVersion: 5, models: 1 });
  });
}, 300_000);
