import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { Failure, seededRandom } from "@tributary/kernel";
import { MetaFile, Timestamp } from "@tufjs/models";
import { metadataBytesMax } from "./metadata.ts";
import { TufRepository } from "./repository/repository.ts";
import { rotateRoot } from "./repository/root.ts";
import { signed, snapshotBytes, targetsBytes, timestampBytes } from "./repository/sign.ts";
import {
  DAY_MS,
  digestOf,
  HOUR_MS,
  ManualClock,
  MemoryFetcher,
  model,
  newRepository,
  newSigner,
  onlineSigners,
  publicKeys,
  START,
} from "./repository.test-kit.ts";
import { openTrust, type TrustedModels, type TrustOptions } from "./trust.ts";

const forever = new AbortController().signal;
let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "tributary-trust-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

type World = Awaited<ReturnType<typeof newRepository>>;

function device({ store, rootBytes, clock }: World, options: Partial<TrustOptions> = {}) {
  const fetcher = new MemoryFetcher(store.files);
  const open = () => openTrust({ dir, rootBytes, metadataUrl: "http://registry/tuf/", fetcher, clock, ...options });
  return { fetcher, open };
}

const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "accepted",
    (error: unknown) => (error instanceof Failure ? error.code : String(error)),
  );
const refreshed = (trust: TrustedModels) => codeOf(trust.refresh(forever));

describe("the listed models", () => {
  test("is known after a refresh, and after a restart without a network", async () => {
    const world = await newRepository();
    await world.repository.list(digestOf(1), model(1));
    const { open, fetcher } = device(world);
    const trust = await open();
    expect(trust.listed(digestOf(1))).toBeUndefined();
    await trust.refresh(forever);
    expect(trust.listed(digestOf(1))).toEqual(model(1));
    expect(trust.listed(digestOf(2))).toBeUndefined();

    fetcher.tamper = () => undefined;
    const again = await open();
    expect(again.listed(digestOf(1))).toEqual(model(1));
    expect(await refreshed(again)).toBe("tuf-unavailable");
    expect(again.listed(digestOf(1))).toEqual(model(1)); // Nothing newer is known.
    expect(again.state()).toMatchObject({ rootVersion: 1, models: 1, filesSetAside: 0 });
  });

  test("follows the list: a delisted model is no longer listed, and unchanged files are not fetched", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    const trust = await open();
    for (let n = 0; n < 40; n++) {
      await world.repository.list(digestOf(n), model(n));
      if (n >= 3) await world.repository.delist(digestOf(n - 3));
      await trust.refresh(forever);
      const listed = Array.from({ length: n + 1 }, (_, i) => trust.listed(digestOf(i)) !== undefined);
      expect(listed).toEqual(listed.map((_, i) => i > n - 3 || (n < 3 && i >= 0)));
    }
    fetcher.asked.length = 0;
    await trust.refresh(forever);
    expect(fetcher.asked).toEqual(["2.root.json", "timestamp.json"]);
  });

  test("are empty once any part has expired (trust.ts T4), until fresh metadata is fetched", async () => {
    const world = await newRepository();
    await world.repository.list(digestOf(1), model(1));
    const { open } = device(world);
    const trust = await open();
    await trust.refresh(forever);
    world.clock.advance(DAY_MS - 1_000);
    expect(trust.listed(digestOf(1))).toBeDefined();
    world.clock.advance(1_000);
    expect(trust.listed(digestOf(1))).toBeUndefined();
    expect(await refreshed(trust)).toBe("tuf-expired");
    await world.repository.refresh();
    expect(await refreshed(trust)).toBe("accepted");
    expect(trust.listed(digestOf(1))).toBeDefined();
  });

  test("is nothing while a newer set is known but withheld (trust.ts T4)", async () => {
    const world = await newRepository();
    await world.repository.list(digestOf(1), model(1));
    const { open, fetcher } = device(world);
    const trust = await open();
    await trust.refresh(forever);
    await world.repository.delist(digestOf(1));
    fetcher.tamper = (file, bytes) => (file.endsWith("targets.json") ? undefined : bytes);
    expect(await refreshed(trust)).toBe("tuf-unavailable");
    expect(trust.listed(digestOf(1))).toBeUndefined();
    expect((await open()).listed(digestOf(1))).toBeUndefined();
  });
});

describe("roots (trust.ts T1)", () => {
  test("a device provisioned with root 1 follows to root 4, also from its disk", async () => {
    const world = await newRepository();
    let signers = world.rootSigners;
    const { open, fetcher } = device(world);
    for (let version = 2; version <= 4; version++) {
      const next = [...signers.slice(1), newSigner()];
      const before = world.store.files.get(`${version - 1}.root.json`) as Uint8Array;
      const keys = next.map(({ publicKey }) => publicKey);
      const root = rotateRoot(before, { root: keys, now: START }, [...signers, ...next]);
      await world.repository.publishRoot(root);
      signers = next;
      if (version === 3) await (await open()).refresh(forever);
    }
    fetcher.asked.length = 0;
    const trust = await open();
    await trust.refresh(forever);
    expect(fetcher.asked.filter((file) => file.endsWith("root.json"))).toEqual(["4.root.json", "5.root.json"]);
    expect(trust.state().rootVersion).toBe(4);
  });

  test("one signature of a stolen root key makes no root", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    const [stolen] = world.rootSigners as [(typeof world.rootSigners)[number]];
    const mine = onlineSigners();
    const real = rotateRoot(world.rootBytes, { ...arrays(publicKeys(mine)), now: START }, world.rootSigners);
    const text = JSON.parse(new TextDecoder().decode(real));
    text.signatures = text.signatures.filter(({ keyid }: { keyid: string }) => keyid === stolen.publicKey.keyID);
    fetcher.tamper = (file, bytes) => (file === "2.root.json" ? new TextEncoder().encode(JSON.stringify(text)) : bytes);
    const trust = await open();
    expect(await refreshed(trust)).toBe("tuf-signature");
    expect(trust.state().rootVersion).toBe(1);
  });

  test("a root that was here and cannot be had again is no step back (trust.ts T2)", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    await world.repository.publishRoot(rotateRoot(world.rootBytes, { now: START }, world.rootSigners));
    await (await open()).refresh(forever);
    await writeFile(join(dir, "2.root.json"), "{");
    fetcher.tamper = (file, bytes) => (file === "2.root.json" ? undefined : bytes);
    const trust = await open();
    expect(await refreshed(trust)).toBe("tuf-rollback");
    fetcher.tamper = (_file, bytes) => bytes;
    expect(await refreshed(trust)).toBe("accepted");
  });

  test("an unreadable root of the device is a failure at once", async () => {
    const world = await newRepository();
    for (const rootBytes of [new Uint8Array(), new TextEncoder().encode("{}"), world.rootBytes.slice(0, -9)]) {
      expect(await codeOf(device(world, { rootBytes }).open())).toBe("tuf-root-invalid");
    }
  });
});

const arrays = (keys: ReturnType<typeof publicKeys>) => ({
  targets: [keys.targets],
  snapshot: [keys.snapshot],
  timestamp: [keys.timestamp],
});

describe("time (trust.ts T3)", () => {
  test("without a clock the floor is the time, whatever the clock shows", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world, { clock: new ManualClock(0), isClockSet: () => false });
    const old = new Map(world.store.files);
    const trust = await open();
    world.clock.advance(30 * DAY_MS);
    await world.repository.refresh();
    await trust.refresh(forever);
    expect(trust.state().floor).toBe(START + 30 * DAY_MS);
    // Signed a month ago, and this device knows it, also after a restart.
    fetcher.files = old;
    expect(await refreshed(trust)).toBe("tuf-rollback");
    expect((await open()).state().floor).toBe(START + 30 * DAY_MS);
  });

  test("a clock behind the verified time does not make expired metadata valid", async () => {
    const world = await newRepository(new ManualClock(), { timestampMs: DAY_MS });
    const late = new ManualClock(START);
    const { open, fetcher } = device(world, { clock: late });
    // A timestamp that lasts, naming a snapshot that does not: signed when the snapshot had a day left.
    world.clock.advance(10 * DAY_MS);
    const snapshot = world.store.files.get("1.snapshot.json") as Uint8Array;
    const common = { version: 2, now: world.clock.now(), lifetimeMs: DAY_MS };
    const timestamp = timestampBytes({ ...common, snapshot: { version: 1, bytes: snapshot } }, [
      world.signers.timestamp,
    ]);
    fetcher.tamper = (file, bytes) => (file === "timestamp.json" ? timestamp : bytes);
    late.nowMs = START - 400 * DAY_MS;
    const trust = await openTrust({
      dir,
      rootBytes: world.rootBytes,
      metadataUrl: "http://r",
      fetcher,
      clock: late,
      isClockSet: () => false,
    });
    expect(await refreshed(trust)).toBe("tuf-expired");
    expect(await codeOf(open())).toBe("accepted");
  });

  test("signed far in the future: refused by a device that knows the time, and takes no floor with it", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    const snapshot = world.store.files.get("1.snapshot.json") as Uint8Array;
    const common = { version: 9, now: START + 400 * DAY_MS, lifetimeMs: DAY_MS };
    const ahead = timestampBytes({ ...common, snapshot: { version: 1, bytes: snapshot } }, [world.signers.timestamp]);
    fetcher.tamper = (file, bytes) => (file === "timestamp.json" ? ahead : bytes);
    const trust = await open();
    expect(await refreshed(trust)).toBe("tuf-signed-ahead");
    expect(trust.state().floor).toBe(START);
    fetcher.tamper = (_file, bytes) => bytes;
    expect(await refreshed(trust)).toBe("accepted");
  });

  test("a stolen timestamp key may push a clockless device's floor ahead; the next root takes it back", async () => {
    const world = await newRepository();
    await world.repository.list(digestOf(1), model(1));
    const { open, fetcher } = device(world, { clock: new ManualClock(0), isClockSet: () => false });
    const trust = await open();
    const snapshot = world.store.files.get("2.snapshot.json") as Uint8Array;
    const common = { version: 1_000_000, now: START + 9_000 * DAY_MS, lifetimeMs: DAY_MS };
    const ahead = timestampBytes({ ...common, snapshot: { version: 2, bytes: snapshot } }, [world.signers.timestamp]);
    fetcher.tamper = (file, bytes) => (file === "timestamp.json" ? ahead : bytes);
    expect(await refreshed(trust)).toBe("tuf-expired");
    fetcher.tamper = (_file, bytes) => bytes;
    expect(await refreshed(trust)).not.toBe("accepted"); // Fast-forwarded.

    const timestamp = newSigner();
    const change = { timestamp: [timestamp.publicKey], now: START + HOUR_MS };
    await world.store.put("2.root.json", rotateRoot(world.rootBytes, change, world.rootSigners));
    world.clock.advance(HOUR_MS);
    const signers = { ...world.signers, timestamp };
    await TufRepository.open({ store: world.store, signers, clock: world.clock });
    expect(await refreshed(trust)).toBe("accepted");
    expect(trust.listed(digestOf(1))).toEqual(model(1));
    expect(trust.state().floor).toBe(START + HOUR_MS);
  });
});

describe("never older (trust.ts T2)", () => {
  test("every earlier set is refused, over restarts (seed 11)", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    const random = seededRandom(11);
    const sets: Map<string, Uint8Array>[] = [];
    let trust = await open();
    for (let n = 0; n < 25; n++) {
      await world.repository.list(digestOf(n), model(n));
      sets.push(new Map(world.store.files));
      fetcher.files = sets[n] as Map<string, Uint8Array>;
      expect(await refreshed(trust)).toBe("accepted");
      if (n === 0) continue;
      if (random() < 0.5) trust = await open();
      fetcher.files = sets[Math.floor(random() * n)] as Map<string, Uint8Array>;
      expect(await refreshed(trust)).toBe("tuf-rollback");
      expect(trust.listed(digestOf(n))).toBeDefined();
    }
  });

  test("a new timestamp for an old snapshot, a new snapshot for old targets", async () => {
    const world = await newRepository();
    for (let n = 0; n < 3; n++) await world.repository.list(digestOf(n), model(n));
    const { open, fetcher } = device(world);
    const trust = await open();
    await trust.refresh(forever);
    const named = (file: string, version: number) => ({ version, bytes: world.store.files.get(file) as Uint8Array });
    const common = { now: START, lifetimeMs: DAY_MS };
    const { timestamp: timestampKey, snapshot: snapshotKey } = world.signers;
    const older = named("2.snapshot.json", 2);
    const answers = new Map(world.store.files);
    fetcher.files = answers;
    answers.set("timestamp.json", timestampBytes({ ...common, version: 99, snapshot: older }, [timestampKey]));
    expect(await refreshed(trust)).toBe("tuf-rollback");
    const withOld = snapshotBytes({ ...common, version: 99, targets: named("2.targets.json", 2) }, [snapshotKey]);
    const snapshot = { version: 99, bytes: withOld };
    answers.set("99.snapshot.json", withOld);
    answers.set("timestamp.json", timestampBytes({ ...common, version: 99, snapshot }, [timestampKey]));
    expect(await refreshed(trust)).toBe("tuf-rollback");
  });

  test("parts of different sets do not mix", async () => {
    const world = await newRepository();
    for (let n = 0; n < 3; n++) await world.repository.list(digestOf(n), model(n));
    const { open, fetcher } = device(world);
    const other = (from: string) => world.store.files.get(from);
    for (const [file, instead] of [
      ["4.snapshot.json", "3.snapshot.json"],
      ["4.targets.json", "3.targets.json"],
    ] as const) {
      fetcher.tamper = (asked, bytes) => (asked === file ? other(instead) : bytes);
      const trust = await open();
      expect(await refreshed(trust)).toMatch(/tuf-mix-and-match|tuf-too-large/);
      expect(trust.listed(digestOf(0))).toBeUndefined();
    }
  });
});

describe("bounds (trust.ts T6)", () => {
  test.each(["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"])("endless %s", async (file) => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    let given = 0;
    fetcher.tamper = (asked, bytes) => (asked === file ? endless((n) => (given += n)) : bytes);
    expect(await refreshed(await open())).toBe("tuf-too-large");
    expect(given).toBeLessThan(Math.max(...Object.values(metadataBytesMax)) + 10_000);
  });

  test("a length that a stolen key signed bounds nothing", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    const expires = "2030-01-01T00:00:00Z";
    const snapshotMeta = new MetaFile({ version: 9, length: 1e12 });
    const part = new Timestamp({ version: 9, specVersion: "1.0.31", expires, snapshotMeta });
    const timestamp = signed(part, [world.signers.timestamp]);
    let given = 0;
    fetcher.tamper = (asked, real) => {
      if (asked === "timestamp.json") return timestamp;
      return asked === "9.snapshot.json" ? endless((n) => (given += n)) : real;
    };
    expect(await refreshed(await open())).toBe("tuf-too-large");
    expect(given).toBeLessThan(metadataBytesMax.snapshot + 10_000);
  });

  test("a server that trickles, or sends nothing, is left within the time", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world, { limits: { refreshMsMax: 10_000 } });
    fetcher.tamper = (asked, bytes) => (asked === "timestamp.json" ? trickle(world.clock, bytes as Uint8Array) : bytes);
    const trust = await open();
    expect(await refreshed(trust)).toBe("tuf-slow");
    fetcher.tamper = (asked, bytes) => (asked === "timestamp.json" ? silence(world.clock) : bytes);
    expect(await refreshed(trust)).toBe("tuf-slow");
    fetcher.tamper = (_file, bytes) => bytes;
    expect(await refreshed(trust)).toBe("accepted");
    expect(world.clock.sleepers).toBe(0);
  });

  test("a caller that gives up gets its own reason; refreshes at once wait for each other", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    const trust = await open();
    const stop = new AbortController();
    fetcher.tamper = (_asked, bytes) => {
      stop.abort(new Error("enough"));
      return bytes;
    };
    await expect(trust.refresh(stop.signal)).rejects.toThrow("enough");
    await expect(trust.refresh(stop.signal)).rejects.toThrow("enough");
    fetcher.tamper = (_file, bytes) => bytes;
    fetcher.asked.length = 0;
    await Promise.all([trust.refresh(forever), trust.refresh(forever)]);
    expect(fetcher.asked).toHaveLength(6); // Root and timestamp twice, the rest once.
  });
});

async function* endless(count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for (;;) {
    count(1_000);
    yield new Uint8Array(1_000).fill(0x20);
  }
}
async function* trickle(clock: ManualClock, bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (const byte of bytes) {
    clock.advance(1_000);
    yield Uint8Array.of(byte);
  }
}
async function* silence(clock: ManualClock): AsyncGenerator<Uint8Array> {
  setImmediate(() => clock.advance(20_000));
  await new Promise(() => {});
  yield new Uint8Array();
}

describe("the disk (trust.ts T5)", () => {
  test("damage of any file is detected, and repaired by the next refresh (seeds)", async () => {
    const world = await newRepository();
    await world.repository.list(digestOf(1), model(1));
    await world.repository.publishRoot(rotateRoot(world.rootBytes, { now: START }, world.rootSigners));
    const { open } = device(world);
    await (await open()).refresh(forever);
    const files = await readdir(dir);
    expect(files.sort()).toEqual(["2.root.json", "snapshot.json", "targets.json", "timestamp.json"]);
    for (let seed = 0; seed < 120; seed++) {
      const random = seededRandom(seed);
      const path = join(dir, files[Math.floor(random() * files.length)] as string);
      await damage(path, random);
      const trust = await open();
      expect([undefined, model(1)]).toContainEqual(trust.listed(digestOf(1)));
      expect([seed, await refreshed(trust)]).toEqual([seed, "accepted"]);
      expect(trust.listed(digestOf(1))).toEqual(model(1));
      expect((await open()).state().filesSetAside).toBe(0);
    }
  });

  test("a stop after any number of files leaves a device that continues", async () => {
    const world = await newRepository();
    const { open, fetcher } = device(world);
    await (await open()).refresh(forever);
    for (let n = 1; n < 30; n++) {
      await world.repository.list(digestOf(n), model(n));
      let left = n % 6;
      fetcher.tamper = (_file, bytes) => {
        if (left-- === 0) throw new Error("power lost");
        return bytes;
      };
      const code = await refreshed(await open());
      expect(["tuf-unavailable", "accepted"]).toContain(code);
      fetcher.tamper = (_file, bytes) => bytes;
      const trust = await open();
      expect(await refreshed(trust)).toBe("accepted");
      expect(trust.listed(digestOf(n))).toEqual(model(n));
    }
  });

  test("a file in the way of writing is a failure by name", async () => {
    const world = await newRepository();
    const { open } = device(world);
    const trust = await open();
    await rm(dir, { recursive: true });
    await writeFile(dir, "");
    expect(await refreshed(trust)).toBe("tuf-storage");
  });
});

async function damage(path: string, random: () => number): Promise<void> {
  const bytes = await readFile(path);
  const at = Math.floor(random() * bytes.length);
  switch (Math.floor(random() * 4)) {
    case 0:
      bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random() * 8));
      return writeFile(path, bytes);
    case 1:
      return writeFile(path, bytes.subarray(0, at));
    case 2:
      return writeFile(path, new Uint8Array(1 << 20));
    default:
      return rm(path);
  }
}

test("targets that are not ours are ignored", async () => {
  const world = await newRepository();
  const { open, fetcher } = device(world);
  const models = new Map([
    [digestOf(1), model(1)],
    [digestOf(2), model(2, { packageBytes: 2 ** 40 })],
    ["../../etc/passwd", model(3)],
    [digestOf(4), model(4, { name: "" })],
    ["__proto__", model(5)],
  ]);
  const common = { version: 5, now: START, lifetimeMs: DAY_MS };
  const targets = { version: 5, bytes: targetsBytes({ ...common, targets: models }, [world.signers.targets]) };
  const snapshot = { version: 5, bytes: snapshotBytes({ ...common, targets }, [world.signers.snapshot]) };
  fetcher.files = new Map([
    ["5.targets.json", targets.bytes],
    ["5.snapshot.json", snapshot.bytes],
    ["timestamp.json", timestampBytes({ ...common, snapshot }, [world.signers.timestamp])],
  ]);
  const trust = await open();
  expect(await refreshed(trust)).toBe("accepted");
  expect(trust.state().models).toBe(1);
});
