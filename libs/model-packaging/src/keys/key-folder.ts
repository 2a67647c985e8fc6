/**
 * The registry's keys as files, and the ceremonies that make and change them.
 *
 * Below the registry's data folder: `keys/online/{targets,snapshot,timestamp}.pem`, which it signs with, and `metadata`, where
 * its roots stand. Root keys are written elsewhere, to be carried away: no server needs them.
 *
 * K1. What is there is never written over: a second `init` is refused.
 * K2. A change is prepared in `keys/next` and takes effect once enough holders signed its root; each may sign on a machine of
 *     its own. Broken off at any point, publishing again brings it to its end.
 */
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Failure, type Instant } from "@tributary/kernel";
import {
  checkRoot,
  fileOf,
  folderMetadataStore,
  generateKey,
  initRoot,
  type OnlineRole,
  onlineRoles,
  parseRoot,
  proposeRoot,
  publicKeyOfPem,
  publicPemOf,
  readSigner,
  rootDefaults,
  type Signer,
  signerOf,
  signRoot,
  writeKey,
} from "@tributary/tuf/repository";

export const keyFolders = (dataDir: string) => ({
  online: join(dataDir, "keys/online"),
  next: join(dataDir, "keys/next"),
  metadata: join(dataDir, "metadata"),
});

export type InitKeys = {
  readonly dataDir: string;
  /** Where the root keys go. */
  readonly offlineDir: string;
  readonly keys?: number;
  readonly threshold?: number;
  /** Of the root keys' files. */
  readonly passphrase?: string | undefined;
  readonly now: Instant;
};

export type KeysMade = {
  readonly rootVersion: number;
  readonly rootKeys: readonly string[];
  readonly onlineKeys: readonly string[];
};

/** Throws Failure `keys-exist`, `tuf-root-invalid`. */
export async function initKeys(options: InitKeys): Promise<KeysMade> {
  const {
    dataDir,
    offlineDir,
    passphrase,
    now,
    keys = rootDefaults.keys,
    threshold = rootDefaults.threshold,
  } = options;
  const folders = keyFolders(dataDir);
  const rootFiles = Array.from({ length: keys }, (_, i) => join(offlineDir, `root-${i + 1}.pem`));
  const onlineFiles = onlineRoles.map((role) => join(folders.online, `${role}.pem`));
  for (const path of [join(folders.metadata, fileOf("root", 1)), ...onlineFiles, ...rootFiles]) {
    if (!(await exists(path))) continue;
    const message = `${path} is there already; to change keys: tributary models keys rotate ${dataDir}`;
    throw new Failure("keys-exist", "ask-a-person", message);
  }
  const rootPems = rootFiles.map(() => generateKey(passphrase));
  const rootSigners = rootPems.map((pem, i) => signerOf(pem, rootFiles[i] as string, passphrase));
  const onlinePems = Object.fromEntries(onlineRoles.map((role) => [role, generateKey()])) as Record<OnlineRole, string>;
  const online = publicKeysOf(onlinePems);
  const root = initRoot({ rootSigners, online, threshold, now });
  for (const [i, pem] of rootPems.entries()) {
    await writeKey(rootFiles[i] as string, pem);
    await writeFile(`${rootFiles[i]?.slice(0, -".pem".length)}.pub.pem`, publicPemOf(pem, "root", passphrase));
  }
  for (const role of onlineRoles) await writeKey(join(folders.online, `${role}.pem`), onlinePems[role]);
  await mkdir(folders.metadata, { recursive: true });
  await folderMetadataStore(folders.metadata).put(fileOf("root", 1), root);
  return { rootVersion: 1, rootKeys: rootFiles, onlineKeys: onlineFiles };
}

export type Rotation = {
  readonly dataDir: string;
  /** Online roles that get a new key. */
  readonly roles: readonly OnlineRole[];
  /** Files with the public keys of all root holders from now on; left out: as before. */
  readonly rootPublicKeys?: readonly string[];
  readonly now: Instant;
};

/** Prepares the next root, signed by nobody yet; gives its file. A change that was prepared before and not published is lost. */
export async function prepareRotation({ dataDir, roles, rootPublicKeys, now }: Rotation): Promise<string> {
  const { next } = keyFolders(dataDir);
  const { bytes: current, version } = await newestRoot(dataDir);
  await rm(next, { recursive: true, force: true });
  const pems = Object.fromEntries(roles.map((role) => [role, generateKey()])) as Record<OnlineRole, string>;
  const keys = publicKeysOf(pems);
  const online = Object.fromEntries(roles.map((role) => [role, [keys[role]]]));
  const root = rootPublicKeys && {
    root: await Promise.all(rootPublicKeys.map(async (path) => publicKeyOfPem(await readFile(path, "utf8"), path))),
  };
  for (const role of roles) await writeKey(join(next, `${role}.pem`), pems[role]);
  const file = join(next, fileOf("root", version + 1));
  await mkdir(next, { recursive: true });
  await writeFile(file, proposeRoot(current, { ...online, ...root, now }));
  return file;
}

/** Adds signatures to a root that is prepared, wherever its file is. */
export async function signPrepared(file: string, keyFiles: readonly string[], passphrase?: string): Promise<void> {
  const signers: Signer[] = [];
  for (const path of keyFiles) signers.push(await readSigner(path, passphrase));
  const bytes = await readFile(file).catch((error: Error) => {
    throw new Failure("keys-not-prepared", "ask-a-person", `${file}: ${error.message}`);
  });
  await writeFile(file, signers.reduce(signRoot, new Uint8Array(bytes)));
}

/** Puts what is prepared into effect (K2); gives the root's version. Throws Failure `tuf-root-threshold` while too few signed. */
export async function publishPrepared(dataDir: string): Promise<number> {
  const { next, online, metadata } = keyFolders(dataDir);
  const names = await readdir(next).catch(() => [] as string[]);
  const rootFile = names.find((name) => name.endsWith(".root.json"));
  if (rootFile === undefined) {
    const message = `nothing is prepared below ${next}: tributary models keys rotate ${dataDir}`;
    throw new Failure("keys-not-prepared", "ask-a-person", message);
  }
  const bytes = new Uint8Array(await readFile(join(next, rootFile)));
  const { version } = parseRoot(bytes).signed;
  const { bytes: current, version: published } = await newestRoot(dataDir);
  if (version > published) checkRoot(current, bytes);
  for (const role of onlineRoles) {
    if (names.includes(`${role}.pem`)) await rename(join(next, `${role}.pem`), join(online, `${role}.pem`));
  }
  if (version > published) await folderMetadataStore(metadata).put(fileOf("root", version), bytes);
  await rm(next, { recursive: true, force: true });
  return version;
}

async function newestRoot(dataDir: string): Promise<{ readonly bytes: Uint8Array; readonly version: number }> {
  const store = folderMetadataStore(keyFolders(dataDir).metadata);
  let newest: { bytes: Uint8Array; version: number } | undefined;
  for (let version = 1; ; version++) {
    const bytes = await store.get(fileOf("root", version));
    if (bytes === undefined) break;
    newest = { bytes, version };
  }
  if (newest !== undefined) return newest;
  const message = `${dataDir} has no keys: tributary models keys init ${dataDir} --offline DIR`;
  throw new Failure("keys-missing", "ask-a-person", message);
}

const publicKeysOf = (pems: Readonly<Record<OnlineRole, string>>) =>
  Object.fromEntries(Object.entries(pems).map(([role, pem]) => [role, signerOf(pem, role).publicKey])) as Record<
    OnlineRole,
    Signer["publicKey"]
  >;

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
