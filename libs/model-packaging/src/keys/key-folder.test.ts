import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Failure, systemClock } from "@tributary/kernel";
import { folderMetadataStore, readSigner, TufRepository } from "@tributary/tuf/repository";
import { initKeys, keyFolders, prepareRotation, publishPrepared, signPrepared } from "./key-folder.ts";

let dir: string;
let dataDir: string;
const key = (n: number) => join(dir, `offline/root-${n}.pem`);
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-keys-"));
  dataDir = join(dir, "registry");
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "done",
    (error: unknown) => (error instanceof Failure ? error.code : String(error)),
  );
async function repository(): Promise<TufRepository> {
  const { online, metadata } = keyFolders(dataDir);
  const signer = (role: string) => readSigner(join(online, `${role}.pem`));
  const signers = {
    targets: await signer("targets"),
    snapshot: await signer("snapshot"),
    timestamp: await signer("timestamp"),
  };
  return TufRepository.open({ store: folderMetadataStore(metadata), signers, clock: systemClock });
}
const now = () => Date.now();

test("keys are made once, root keys where they can be carried away, and a repository opens with them (key-folder.ts K1)", async () => {
  expect(await codeOf(prepareRotation({ dataDir, roles: ["timestamp"], now: now() }))).toBe("keys-missing");
  const init = { dataDir, offlineDir: join(dir, "offline"), passphrase: "open sesame", now: now() };
  expect(await initKeys(init)).toMatchObject({ rootVersion: 1 });
  expect(await codeOf(initKeys(init))).toBe("keys-exist");
  expect((await readdir(join(dir, "offline"))).sort()).toEqual(
    [1, 2, 3].flatMap((n) => [`root-${n}.pem`, `root-${n}.pub.pem`]).sort(),
  );
  expect((await stat(key(1))).mode & 0o077).toBe(0);
  expect(await readFile(key(1), "utf8")).toContain("ENCRYPTED");
  expect((await repository()).rootVersion()).toBe(1);
});

test("a stolen online key is replaced by two of three holders, one is not enough (key-folder.ts K2)", async () => {
  await (await repository()).list("ab".repeat(32), listed);
  const file = await prepareRotation({ dataDir, roles: ["targets", "timestamp"], now: now() });
  await signPrepared(file, [key(1)], "open sesame");
  expect(await codeOf(publishPrepared(dataDir))).toBe("tuf-root-threshold");
  expect((await repository()).rootVersion()).toBe(1);
  await signPrepared(file, [key(3)], "open sesame");
  expect(await publishPrepared(dataDir)).toBe(2);
  const opened = await repository();
  expect(opened.rootVersion()).toBe(2);
  expect([...opened.listed().keys()]).toEqual(["ab".repeat(32)]);
  expect(await codeOf(publishPrepared(dataDir))).toBe("keys-not-prepared");
});

test("broken off after its keys were moved, publishing again brings it to its end (key-folder.ts K2)", async () => {
  const file = await prepareRotation({ dataDir, roles: ["snapshot"], now: now() });
  await signPrepared(file, [key(1), key(2)], "open sesame");
  const root = await readFile(file);
  const { next, online } = keyFolders(dataDir);
  const snapshot = await readFile(join(next, "snapshot.pem"));
  await writeFile(join(online, "snapshot.pem"), snapshot);
  await rm(join(next, "snapshot.pem"));
  expect(await codeOf(repository())).toBe("tuf-key-not-named");
  expect(await publishPrepared(dataDir)).toBe(3);
  expect((await repository()).rootVersion()).toBe(3);
  expect(root.length).toBeGreaterThan(0);
});

test("a holder hands over: the new one's public key, signed by the old ones and two of the new", async () => {
  const { generateKey, publicPemOf, writeKey } = await import("@tributary/tuf/repository");
  const pem = generateKey();
  await writeKey(key(4), pem);
  await writeFile(join(dir, "offline/root-4.pub.pem"), publicPemOf(pem, "root 4"));
  const rootPublicKeys = [1, 2, 4].map((n) => join(dir, `offline/root-${n}.pub.pem`));
  const file = await prepareRotation({ dataDir, roles: [], rootPublicKeys, now: now() });
  await signPrepared(file, [key(4)]);
  await signPrepared(file, [key(1)], "open sesame");
  expect(await codeOf(publishPrepared(dataDir))).toBe("tuf-root-threshold"); // one of the old ones only
  await signPrepared(file, [key(2)], "open sesame");
  expect(await publishPrepared(dataDir)).toBe(4);
});

const listed = { name: "m", version: "1", hardwareClass: "generic", packageBytes: 10, manifestBytes: 10 };
