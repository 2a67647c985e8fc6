/** Registry and metadata in memory, with what may come between them: a full disk, Kafka between two records, the sweep. */
import { createReadStream } from "node:fs";
import { readdir, readFile, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, describe, expect, test } from "@jest/globals";
import { type BlobStore, FolderBlobStore } from "@tributary/blob-store";
import { type Model, topics } from "@tributary/contracts";
import { packageFiles, parseManifest } from "@tributary/inference";
import { Failure, systemClock } from "@tributary/kernel";
import type { ValidationManifest } from "@tributary/model-packaging";
import { sha256 } from "@tributary/model-store";
import { ModelTable } from "@tributary/models";
import { createTelemetry } from "@tributary/telemetry";
import { MemoryKafka, repositoryRoot, someModel, tempDir } from "@tributary/testing";
import { generateKey, initRoot, type MetadataStore, signerOf, TufRepository } from "@tributary/tuf/repository";
import { sweep } from "../blobs/sweep.ts";
import { Packages } from "./packages.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

const dir = tempDir("registry");
afterAll(() => dir.remove());
const first = someModel({ version: "1", modelDigest: "ab".repeat(32) });
const second = someModel({ version: "2", modelDigest: "cd".repeat(32) });

/** With both versions listed; the second is champion and has a name of its own besides. */
async function newRegistry(models: readonly Model[] = [first, second], change: Partial<RegistryOptions> = {}) {
  const newSigner = () => signerOf(generateKey(), "test");
  const signers = { targets: newSigner(), snapshot: newSigner(), timestamp: newSigner() };
  const { targets, snapshot, timestamp } = signers;
  const online = { targets: targets.publicKey, snapshot: snapshot.publicKey, timestamp: timestamp.publicKey };
  const rootSigners = [newSigner(), newSigner()];
  const files = new Map([["1.root.json", initRoot({ rootSigners, online, now: systemClock.now() })]]);
  const disk = { isFull: false };
  const store: MetadataStore = {
    get: async (name) => files.get(name),
    delete: async (name) => void files.delete(name),
    put: async (name, bytes) => {
      if (disk.isFull) throw new Error("ENOSPC");
      files.set(name, bytes);
    },
  };
  const tuf = await TufRepository.open({ store, signers, clock: systemClock });
  const table = new ModelTable();
  for (const model of models) {
    table.applyModel(model);
    await tuf.list(model.modelDigest, { ...model, packageBytes: 1_000, manifestBytes: 100 });
  }
  const aliases = { champion: "2", challenger: "1", spring: "2" };
  table.applyAliases({ name: "edge", aliases, changedBy: "ada", changedAt: 1, validation: null });
  const kafka = new MemoryKafka();
  const logged: string[] = [];
  const registry = new Registry({
    table,
    tuf,
    packages: { manifest: unasked, checkComplete: unasked, withFolder: unasked },
    sink: kafka,
    clock: systemClock,
    telemetry: createTelemetry({
      service: "test",
      defaultMetrics: false,
      write: (line) => void logged.push(JSON.parse(line).event),
    }),
    checks: { packageBytesMax: 1 << 20, hardwareClasses: {}, threads: 1, msMax: 1_000, waitingMax: 1 },
    onChange: () => {},
    signal: new AbortController().signal,
    ...change,
  });
  return { registry, table, tuf, disk, sent: kafka.written, logged };
}
const unasked = async (): Promise<never> => {
  throw new Error("no package is looked at here");
};
const revokedOf = (model: Model): Model => ({
  ...model,
  state: "REVOKED",
  revoked: { by: "ada", reason: "bad", at: 5 },
});

test("what a model is judged on and its aliases change without each other", async () => {
  const { registry, table } = await newRegistry();
  const set = { digest: "ef".repeat(32), frames: 100, pushedBy: "eve", pushedAt: 5 };
  await registry.judgeOn("edge", set);
  expect(table.aliasesRecord("edge")).toMatchObject({ aliases: { champion: "2" }, changedBy: "ada", changedAt: 1 });
  await registry.alias("edge", "winter", "1", "bob");
  expect(table.validation("edge")).toEqual(set);
  await registry.judgeOn("unnamed", set);
  expect(table.aliasesRecord("unnamed")).toMatchObject({ aliases: {}, changedBy: "", changedAt: 0, validation: set });
});

test("a revocation that met a full disk is finished when it is asked for again (registry.ts R2)", async () => {
  const { registry, tuf, disk, sent, logged } = await newRegistry();
  disk.isFull = true;
  await expect(registry.revoke("edge", "2", "ada", "bad")).rejects.toThrow("ENOSPC");
  // Asked again, it is still unfinished, and is not reported as done.
  await expect(registry.revoke("edge", "2", "ada", "bad")).rejects.toThrow("ENOSPC");
  expect([...tuf.listed().keys()]).toEqual([first.modelDigest, second.modelDigest]);
  disk.isFull = false;
  const revoked = await registry.revoke("edge", "2", "eve", "bad too");
  expect(revoked).toMatchObject({ state: "REVOKED", revoked: { by: "ada", reason: "bad" } });
  expect([...tuf.listed().keys()]).toEqual([first.modelDigest]);
  expect((await registry.revoke("edge", "2", "eve", "once more")).revoked).toEqual(revoked.revoked);
  expect(sent.map(({ topic }) => topic)).toEqual([topics.models.name, topics.modelAliases.name]);
  expect(logged.filter((event) => event === "model_revoked")).toHaveLength(1);
});

test("a revocation that met a full disk is finished without being asked for again", async () => {
  const { registry, tuf, disk, logged } = await newRegistry();
  disk.isFull = true;
  await expect(registry.revoke("edge", "2", "ada", "bad")).rejects.toThrow("ENOSPC");
  await expect(registry.finishRevocations()).rejects.toThrow("ENOSPC");
  disk.isFull = false;
  await registry.finishRevocations();
  await registry.finishRevocations();
  expect([...tuf.listed().keys()]).toEqual([first.modelDigest]);
  expect(logged.filter((event) => event === "model_revoked")).toHaveLength(1);
});

test("a revocation of which Kafka has the model and not the aliases loses them at the start, or when asked again", async () => {
  for (const finish of ["reconcile", "revoke"] as const) {
    const { registry, table, tuf, sent } = await newRegistry();
    table.applyModel(revokedOf(second)); // As a registry reads it that was killed between the two.
    await (finish === "reconcile" ? registry.reconcile() : registry.revoke("edge", "2", "ada", "bad"));
    expect(table.aliases("edge")).toEqual({ challenger: "1" });
    expect([...tuf.listed().keys()]).toEqual([first.modelDigest]);
    const [record, ...others] = sent;
    expect(topics.modelAliases.codec.decodeConfluent(record?.value as Buffer)).toMatchObject({
      aliases: { challenger: "1" },
      changedBy: "ada",
    });
    expect(others).toEqual([]);
  }
});

test("what passed is forced only where its gate compared it with another champion than today's", async () => {
  const gate = {
    passed: true,
    championDigest: second.modelDigest,
    forcedBy: "",
    forcedReason: "",
    validationDigest: "",
    validationGates: 0,
    sliceDigest: "",
    sliceGates: 0,
    reportDigest: "",
    pageDigest: "",
    failed: [],
    unsure: [],
    judgedAt: 1,
  };
  for (const [championDigest, forcedBy] of [[second.modelDigest, ""] as const, ["ef".repeat(32), "ada"] as const]) {
    const { registry } = await newRegistry([{ ...first, gate: { ...gate, championDigest } }, second]);
    expect((await registry.force("edge", "1", "ada", "it is urgent")).gate).toMatchObject({ passed: true, forcedBy });
  }
});

describe("a push and the sweep", () => {
  const EDGE = join(repositoryRoot, "models/edge-resnet8");
  const DAY_MS = 24 * 3_600_000;

  /** The package's blobs are unused since a push eight days ago. `during` is what happens while it is examined today. */
  async function pushedAgain(name: string, during: (blobs: BlobStore, modelFile: string) => Promise<void>) {
    const store = await FolderBlobStore.open({ dir: join(dir.path, name) });
    const bytes = await readFile(join(EDGE, packageFiles.manifest));
    const { files } = parseManifest(JSON.parse(bytes.toString()));
    for (const path of [...Object.keys(files), packageFiles.manifest]) {
      await store.put(createReadStream(join(EDGE, path)), { bytesMax: 1 << 20 });
    }
    const then = (Date.now() - 8 * DAY_MS) / 1_000;
    for (const file of await readdir(join(dir.path, name, "sha256"), { recursive: true, withFileTypes: true })) {
      if (file.isFile()) await utimes(join(file.parentPath, file.name), then, then);
    }
    const packages = await Packages.open(store, join(dir.path, `${name}-work`));
    const examined = async () => {
      await during(store, files[packageFiles.model]?.sha256 as string);
      return { labels: [] } as never;
    };
    const made = await newRegistry([], {
      packages: {
        manifest: (digest) => packages.manifest(digest),
        checkComplete: (listed) => packages.checkComplete(listed),
        withFolder: examined,
      },
    });
    const { registry, table } = made;
    const telemetry = createTelemetry({ service: "test", level: "silent", defaultMetrics: false });
    const swept = (
      blobs: Pick<BlobStore, "list" | "remove"> = store,
      manifest: (digest: string) => Promise<ValidationManifest> = unasked,
    ) =>
      sweep({
        blobs,
        packages,
        table,
        registry,
        validation: { manifest },
        telemetry,
        clock: systemClock,
        unusedMsMax: 7 * DAY_MS,
      });
    const count = async () => (await Array.fromAsync(store.list())).length;
    return {
      ...made,
      store,
      swept,
      count,
      filesCount: Object.keys(files).length + 1,
      push: () => registry.push(sha256(bytes), "ada"),
    };
  }

  test("what a push under way needs stays, however old, and so does what it listed", async () => {
    const again = await pushedAgain("held", () => again.swept());
    expect((await again.push()).model.state).toBe("LISTED");
    await again.swept();
    expect(await again.count()).toBe(again.filesCount);
  });

  test("what is listed while the sweep reads manifests stays", async () => {
    const again = await pushedAgain("listed-meanwhile", async () => {});
    const { store } = again;
    await again.swept({
      list: async function* () {
        await again.push();
        yield* store.list();
      },
      remove: (digest) => store.remove(digest),
    });
    expect(await again.count()).toBe(again.filesCount);
  });

  test("frames that a model is judged on stay, those of the set before do not", async () => {
    const again = await pushedAgain("validation", async () => {});
    const { store, registry } = again;
    await again.push();
    const put = async (text: string) => {
      const { digest } = await store.put(Readable.from([Buffer.from(text)]), { bytesMax: 100 });
      await utimes(join(dir.path, "validation/sha256", digest.slice(0, 2), digest), 1, 1);
      return digest;
    };
    const [frame, before] = [await put("a frame"), await put("a frame of the set before")];
    const set = { digest: await put("its manifest"), frames: 1, pushedBy: "ada", pushedAt: 1 };
    await registry.judgeOn("edge-resnet8", set);
    await again.swept(store, async () => ({ frames: [{ file: "a.jpg", sha256: frame, bytes: 7, label: "cat" }] }));
    expect(await Promise.all([frame, set.digest, before].map((digest) => store.has(digest)))).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("frames of the slice that a version was trained for stay while its gate may be run, a malformed manifest keeps nothing", async () => {
    const again = await pushedAgain("slice", async () => {});
    const { store, registry, table } = again;
    await again.push();
    const put = async (text: string) => {
      const { digest } = await store.put(Readable.from([Buffer.from(text)]), { bytesMax: 100 });
      await utimes(join(dir.path, "slice/sha256", digest.slice(0, 2), digest), 1, 1);
      return digest;
    };
    const [frame, sliceFrames, bad] = [await put("a frame"), await put("its manifest"), await put("no manifest")];
    const model = table.list()[0] as Model;
    table.applyModel({ ...model, lineage: { trainingRun: "run-1", sliceFrames } });
    table.applyModel({ ...model, version: "bad", lineage: { trainingRun: "run-2", sliceFrames: bad } });
    table.applyAliases({ name: model.name, aliases: { a: "bad" }, changedBy: "ada", changedAt: 1, validation: null });
    await registry.alias(model.name, "challenger", model.version, "trainer");
    const manifest = async (digest: string): Promise<ValidationManifest> => {
      if (digest === bad) throw new Failure("validation-frames-invalid", "ask-a-person", "it is no manifest");
      return { frames: [{ file: "a.jpg", sha256: frame, bytes: 7, label: "cat" }] };
    };
    await again.swept(store, manifest);
    expect(await Promise.all([frame, sliceFrames].map((digest) => store.has(digest)))).toEqual([true, true]);
    await registry.alias(model.name, "challenger", null, "trainer");
    await again.swept(store, manifest);
    expect(await Promise.all([frame, sliceFrames].map((digest) => store.has(digest)))).toEqual([false, false]);
  });

  test("a push whose blobs went away is refused and not listed, and what a refused one leaves is swept (registry.ts R4)", async () => {
    const again = await pushedAgain("gone", (blobs, modelFile) => blobs.remove(modelFile));
    await expect(again.push()).rejects.toMatchObject({ code: "package-blobs-missing" });
    expect([again.tuf.listed().size, again.table.count, again.sent.length]).toEqual([0, 0, 0]);
    await again.swept();
    expect(await again.count()).toBe(0);
  });
});
