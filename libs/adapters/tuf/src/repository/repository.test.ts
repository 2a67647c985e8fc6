import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { Failure, seededRandom } from "@tributary/kernel";
import { expiresAt } from "../metadata.ts";
import {
  DAY_MS,
  digestOf,
  HOUR_MS,
  ManualClock,
  MemoryFetcher,
  MemoryStore,
  model,
  newRepository,
  newSigner,
  onlineSigners,
  publicKeys,
  START,
} from "../repository.test-kit.ts";
import { openTrust } from "../trust.ts";
import { generateKey, publicKeyOfPem, publicPemOf, readSigner, signerOf, writeKey } from "./keys.ts";
import { folderMetadataStore, isMetadataName } from "./metadata-store.ts";
import { TufRepository } from "./repository.ts";
import { checkRoot, initRoot, parseRoot, proposeRoot, rotateRoot, signRoot } from "./root.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-tuf-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return "accepted";
  } catch (error) {
    return error instanceof Failure ? error.code : String(error);
  }
};

/** What a new device, with root 1, lists. */
async function seenByDevice(files: ReadonlyMap<string, Uint8Array>, clock = new ManualClock()) {
  const rootBytes = files.get("1.root.json") as Uint8Array;
  const at = join(dir, `device-${Math.floor(performance.now() * 1e6)}`);
  const fetcher = new MemoryFetcher(files);
  const trust = await openTrust({ dir: at, rootBytes, metadataUrl: "http://registry", fetcher, clock });
  await trust.refresh(new AbortController().signal);
  return trust;
}

describe("keys", () => {
  test("a key keeps its id through PEM, encrypted or not, and is readable by its owner alone", async () => {
    const pem = generateKey();
    const locked = generateKey("correct horse");
    await writeKey(join(dir, "a.pem"), pem);
    await writeKey(join(dir, "b.pem"), locked);
    expect((await stat(join(dir, "a.pem"))).mode & 0o777).toBe(0o600);
    const signer = await readSigner(join(dir, "a.pem"));
    expect(signer.publicKey.keyID).toBe(signerOf(pem, "a").publicKey.keyID);
    expect(publicKeyOfPem(publicPemOf(pem, "a"), "a").keyID).toBe(signer.publicKey.keyID);
    expect(locked).toContain("ENCRYPTED");
    expect((await readSigner(join(dir, "b.pem"), "correct horse")).publicKey.keyID).toHaveLength(64);
    expect(await codeOf(() => readSigner(join(dir, "b.pem"), "wrong"))).toBe("tuf-key-unreadable");
    expect(await codeOf(() => readSigner(join(dir, "b.pem")))).toBe("tuf-key-unreadable");
    expect(await codeOf(() => readSigner(join(dir, "none.pem")))).toBe("tuf-key-unreadable");
    expect(await codeOf(() => publicKeyOfPem(pem, "a"))).toBe("tuf-key-unreadable");
    expect(await codeOf(() => publicKeyOfPem("no key", "a"))).toBe("tuf-key-unreadable");
  });

  test("a key of another kind is refused", async () => {
    const { generateKeyPairSync } = await import("node:crypto");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    expect(await codeOf(() => signerOf(pem, "ec"))).toBe("tuf-key-unreadable");
  });
});

describe("roots", () => {
  const holders = [newSigner(), newSigner(), newSigner()] as const;
  const online = publicKeys(onlineSigners());
  const first = initRoot({ rootSigners: holders, online, now: START });

  test("holders sign one after the other, each where the key is; two of three are enough (root.ts R1)", async () => {
    let next = proposeRoot(first, { now: START, timestamp: [newSigner().publicKey] });
    expect(await codeOf(() => checkRoot(first, next))).toBe("tuf-root-threshold");
    next = signRoot(next, holders[2]);
    expect(() => checkRoot(first, next)).toThrow(`signatures are by ${holders[2].publicKey.keyID.slice(0, 8)}`);
    next = signRoot(next, holders[2]); // The same again counts once.
    expect(await codeOf(() => checkRoot(first, next))).toBe("tuf-root-threshold");
    next = signRoot(next, holders[0]);
    expect(checkRoot(first, next).signed.version).toBe(2);
  });

  test("a change of root keys needs the old and the new threshold (root.ts R1, R2)", async () => {
    const fresh = [newSigner(), newSigner(), newSigner()] as const;
    const change = { root: fresh.map(({ publicKey }) => publicKey), now: START };
    expect(await codeOf(() => rotateRoot(first, change, holders))).toBe("tuf-root-threshold");
    expect(await codeOf(() => rotateRoot(first, change, fresh))).toBe("tuf-root-threshold");
    const next = rotateRoot(first, change, [...holders.slice(1), ...fresh.slice(1)]);
    const { roles, version } = parseRoot(next).signed;
    expect([version, roles.root?.threshold]).toEqual([2, 2]);
    expect(roles.targets?.keyIDs).toEqual([online.targets.keyID]);
    expect(await codeOf(() => rotateRoot(next, { now: START }, holders))).toBe("tuf-root-threshold");
    expect(await codeOf(() => checkRoot(next, next))).toBe("tuf-root-invalid");
  });

  test("a root that no device could follow is refused", async () => {
    expect(await codeOf(() => initRoot({ rootSigners: holders.slice(1, 2), online, now: START }))).toBe(
      "tuf-root-invalid",
    );
    expect(await codeOf(() => proposeRoot(new Uint8Array(1 << 20), { now: START }))).toBe("tuf-root-invalid");
    const none = signRoot(signRoot(proposeRoot(first, { now: START, targets: [] }), holders[0]), holders[1]);
    expect(await codeOf(() => checkRoot(first, none))).toBe("tuf-root-invalid");
  });
});

describe("listing", () => {
  test("devices see the listed models; listing the same again signs nothing", async () => {
    const { repository, store, clock } = await newRepository();
    const random = seededRandom(5);
    const expected = new Map<string, ReturnType<typeof model>>();
    for (let step = 0; step < 60; step++) {
      const n = Math.floor(random() * 12);
      if (random() < 0.6) {
        expected.set(digestOf(n), model(n));
        await repository.list(digestOf(n), model(n));
      } else {
        expected.delete(digestOf(n));
        await repository.delist(digestOf(n));
      }
      expect(repository.listed()).toEqual(expected);
    }
    const trust = await seenByDevice(store.files, clock);
    for (let n = 0; n < 12; n++) expect(trust.listed(digestOf(n))).toEqual(expected.get(digestOf(n)));
    const before = store.files.get("timestamp.json");
    await repository.list(...([...expected][0] as [string, ReturnType<typeof model>]));
    expect(store.files.get("timestamp.json")).toBe(before);
  });

  test("at any moment of a change the store holds the set before or the set after (repository.ts S1)", async () => {
    const { store, signers, clock, repository } = await newRepository();
    await repository.list(digestOf(0), model(0));
    for (let stopAfter = 0; stopAfter < 4; stopAfter++) {
      const crashing = await TufRepository.open({ store, signers, clock });
      const before = crashing.listed().size;
      let left = stopAfter;
      store.beforePut = () => {
        if (left-- === 0) throw new Error("killed");
      };
      const outcome = await codeOf(() => crashing.list(digestOf(stopAfter + 10), model(stopAfter)));
      store.beforePut = () => {};
      expect(outcome).toBe(stopAfter < 3 ? "Error: killed" : "accepted");
      expect((await seenByDevice(store.files, clock)).state().models).toBe(before + (stopAfter < 3 ? 0 : 1));
      const next = await TufRepository.open({ store, signers, clock });
      expect(next.listed().size).toBe(before + (stopAfter < 3 ? 0 : 1));
      await next.list(digestOf(stopAfter + 20), model(1));
      expect((await seenByDevice(store.files, clock)).listed(digestOf(stopAfter + 20))).toBeDefined();
    }
  });

  test("changes at once are made one after the other (repository.ts S4)", async () => {
    const { repository, store, clock } = await newRepository();
    await Promise.all(Array.from({ length: 20 }, (_, n) => repository.list(digestOf(n), model(n))));
    expect((await seenByDevice(store.files, clock)).state().models).toBe(20);
    // Older versions are deleted.
    expect([...store.files.keys()].filter((name) => name.endsWith("targets.json"))).toHaveLength(16);
  });

  test("more models than a device may read are refused, and the list stays (repository.ts S3)", async () => {
    const { repository } = await newRepository();
    const long = { name: "n".repeat(256), version: "v".repeat(256), hardwareClass: "h".repeat(256) };
    let n = 0;
    let code = "accepted";
    for (; code === "accepted"; n++) code = await codeOf(() => repository.list(digestOf(n), model(n, long)));
    expect(code).toBe("tuf-targets-full");
    expect(repository.listed().size).toBe(n - 1);
    await repository.delist(digestOf(0));
    expect(await codeOf(() => repository.list(digestOf(n), model(n, long)))).toBe("accepted");
  });
});

describe("time", () => {
  test("a role is signed again at half its life, and a device never sees an expired one", async () => {
    const { repository, store, clock } = await newRepository();
    const versions = () =>
      [...store.files.keys()].reduce((newest, name) => Math.max(newest, Number.parseInt(name, 10) || 0), 0);
    const trustDir = join(dir, "device");
    const rootBytes = store.files.get("1.root.json") as Uint8Array;
    const fetcher = new MemoryFetcher(store.files);
    const trust = await openTrust({ dir: trustDir, rootBytes, metadataUrl: "http://r", fetcher, clock });
    for (let hour = 0; hour < 24 * 100; hour += 6) {
      clock.advance(6 * HOUR_MS);
      await repository.refresh();
      expect(repository.expiresAt()).toBeGreaterThan(clock.now());
      if (hour % 240 === 0) await trust.refresh(new AbortController().signal);
    }
    await trust.refresh(new AbortController().signal);
    expect(trust.state().targetsVersion).toBe(1 + Math.floor(100 / 45));
    // Snapshots: every half week, and with each of the targets.
    expect(versions()).toBeGreaterThanOrEqual(1 + Math.floor(100 / 3.5));
    expect(versions()).toBeLessThanOrEqual(1 + Math.floor(100 / 3.5) + 2);
  });

  test("the time from which devices refuse is reported, also when it is the root that ends; a refresh does not renew it", async () => {
    const { repository, store, clock, rootBytes } = await newRepository();
    const rootEndsAt = expiresAt(parseRoot(rootBytes).signed);
    expect([repository.expiresAt(), repository.rootExpiresAt()]).toEqual([START + DAY_MS, rootEndsAt]);
    expect(await repository.refresh()).toBe(false);
    clock.nowMs = rootEndsAt - HOUR_MS;
    expect(await repository.refresh()).toBe(true);
    expect(repository.expiresAt()).toBe(rootEndsAt);
    expect((await seenByDevice(store.files, clock)).state().models).toBe(0);
    clock.nowMs = rootEndsAt + HOUR_MS;
    expect(await repository.refresh()).toBe(false);
    expect(await codeOf(() => seenByDevice(store.files, clock))).toBe("tuf-expired");
    expect(repository.expiresAt()).toBeLessThan(clock.now());
  });

  test("a registry that was down past every expiry signs all again when it opens", async () => {
    const { store, signers, clock, repository } = await newRepository();
    await repository.list(digestOf(1), model(1));
    clock.advance(200 * DAY_MS);
    await TufRepository.open({ store, signers, clock });
    expect((await seenByDevice(store.files, clock)).listed(digestOf(1))).toEqual(model(1));
  });
});

describe("rotation", () => {
  test("every online key may change at once; devices follow, and the registry may be restarted anywhere", async () => {
    const { store, clock, repository, rootSigners, rootBytes } = await newRepository();
    await repository.list(digestOf(1), model(1));
    const next = onlineSigners();
    const keys = publicKeys(next);
    const change = { targets: [keys.targets], snapshot: [keys.snapshot], timestamp: [keys.timestamp], now: START };
    const root = rotateRoot(rootBytes, change, rootSigners);
    // The running registry does not have the new keys: it reports that and changes nothing.
    expect(await codeOf(() => repository.publishRoot(root))).toBe("tuf-key-not-named");
    expect(store.files.has("2.root.json")).toBe(false);
    await store.put("2.root.json", root);
    for (let stopAfter = 0; stopAfter < 3; stopAfter++) {
      let left = stopAfter;
      store.beforePut = () => {
        if (left-- === 0) throw new Error("killed");
      };
      expect(await codeOf(() => TufRepository.open({ store, signers: next, clock }))).toBe("Error: killed");
    }
    store.beforePut = () => {};
    await TufRepository.open({ store, signers: next, clock });
    const trust = await seenByDevice(store.files, clock);
    expect(trust.listed(digestOf(1))).toEqual(model(1));
    expect(trust.state().rootVersion).toBe(2);
  });

  test("keys that the root does not name, and a store that was tampered with, stop the registry at its start", async () => {
    const { store, clock, signers, repository } = await newRepository();
    await repository.list(digestOf(1), model(1));
    const open = (more: object = {}) => codeOf(() => TufRepository.open({ store, signers, clock, ...more }));
    expect(await open({ signers: { ...signers, snapshot: newSigner() } })).toBe("tuf-key-not-named");
    expect(await open({ store: new MemoryStore() })).toBe("tuf-repository-empty");
    for (const name of ["timestamp.json", "2.snapshot.json", "2.targets.json"]) {
      const bytes = store.files.get(name) as Uint8Array;
      const text = new TextDecoder().decode(bytes).replace(/"version":2/, '"version":3');
      store.files.set(name, new TextEncoder().encode(text));
      expect(await open()).toBe("tuf-repository-broken");
      store.files.delete(name);
      if (name !== "timestamp.json") expect(await open()).toBe("tuf-repository-broken");
      store.files.set(name, bytes);
    }
    expect(await open()).toBe("accepted");
  });
});

describe("the folder", () => {
  test("stores files whole, and accepts names of metadata only", async () => {
    const store = folderMetadataStore(join(dir, "tuf"));
    const { store: memory, signers, clock } = await newRepository();
    expect(await store.get("1.root.json")).toBeUndefined();
    await store.put("1.root.json", memory.files.get("1.root.json") as Uint8Array);
    const repository = await TufRepository.open({ store, signers, clock });
    await repository.list(digestOf(1), model(1));
    expect((await readdir(join(dir, "tuf"))).sort()).toEqual([
      ...["1.root.json", "1.snapshot.json", "1.targets.json"],
      ...["2.snapshot.json", "2.targets.json", "timestamp.json"],
    ]);
    await writeFile(join(dir, "tuf", "timestamp.json.new"), "{"); // A write that was cut off.
    const again = await TufRepository.open({ store: folderMetadataStore(join(dir, "tuf")), signers, clock });
    expect(again.listed()).toEqual(repository.listed());
    expect(JSON.parse(await readFile(join(dir, "tuf", "timestamp.json"), "utf8")).signed.version).toBe(2);
    for (const name of ["../x", "root.json", "0.root.json", "1.root.json.new", "1.mirror.json", "timestamp.json/.."]) {
      expect([name, isMetadataName(name)]).toEqual([name, false]);
      await expect(store.get(name)).rejects.toThrow("is no metadata");
    }
  });
});
