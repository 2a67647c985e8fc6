/** Registry and metadata in memory, with what may fail between them: the disk, and Kafka between two records. */
import { expect, test } from "@jest/globals";
import { type Model, topics } from "@tributary/contracts";
import type { OutRecord } from "@tributary/kafka";
import { systemClock } from "@tributary/kernel";
import { createTelemetry } from "@tributary/telemetry";
import { someModel } from "@tributary/testing";
import { generateKey, initRoot, type MetadataStore, signerOf, TufRepository } from "@tributary/tuf/repository";
import { ModelTable } from "./model-table.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

const first = someModel({ version: "1", modelDigest: "ab".repeat(32) });
const second = someModel({ version: "2", modelDigest: "cd".repeat(32) });

/** Both versions are listed; the second is champion and has a name of its own besides. */
async function newRegistry(change: Partial<RegistryOptions> = {}) {
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
  for (const model of [first, second]) {
    table.applyModel(model);
    await tuf.list(model.modelDigest, { ...model, packageBytes: 1_000, manifestBytes: 100 });
  }
  const aliases = { champion: "2", challenger: "1", spring: "2" };
  table.applyAliases({ name: "edge", aliases, changedBy: "ada", changedAt: 1 });
  const sent: OutRecord[] = [];
  const said: string[] = [];
  const registry = new Registry({
    table,
    tuf,
    packages: { manifest: unasked, checkComplete: unasked, withFolder: unasked, labels: unasked },
    sink: {
      send: async (records) => {
        sent.push(...records);
        return [];
      },
      close: async () => {},
    },
    clock: systemClock,
    telemetry: createTelemetry({
      service: "test",
      defaultMetrics: false,
      write: (line) => void said.push(JSON.parse(line).event),
    }),
    checks: { packageBytesMax: 1 << 20, hardwareClasses: {}, threads: 1, msMax: 1_000, waitingMax: 1 },
    onChange: () => {},
    signal: new AbortController().signal,
    ...change,
  });
  return { registry, table, tuf, disk, sent, said };
}
const unasked = async (): Promise<never> => {
  throw new Error("no package is looked at here");
};
const revokedOf = (model: Model): Model => ({
  ...model,
  state: "REVOKED",
  revoked: { by: "ada", reason: "bad", at: 5 },
});

test("a revocation that met a full disk is finished when it is asked for again (R2)", async () => {
  const { registry, tuf, disk, sent, said } = await newRegistry();
  disk.isFull = true;
  await expect(registry.revoke("edge", "2", "ada", "bad")).rejects.toThrow("ENOSPC");
  // Asked again, it is no more done than before: nobody is told that it is.
  await expect(registry.revoke("edge", "2", "ada", "bad")).rejects.toThrow("ENOSPC");
  expect([...tuf.listed().keys()]).toEqual([first.modelDigest, second.modelDigest]);
  disk.isFull = false;
  const revoked = await registry.revoke("edge", "2", "eve", "bad too");
  expect(revoked).toMatchObject({ state: "REVOKED", revoked: { by: "ada", reason: "bad" } });
  expect([...tuf.listed().keys()]).toEqual([first.modelDigest]);
  expect((await registry.revoke("edge", "2", "eve", "once more")).revoked).toEqual(revoked.revoked);
  expect(sent.map(({ topic }) => topic)).toEqual([topics.models.name, topics.modelAliases.name]);
  expect(said.filter((event) => event === "model_revoked")).toHaveLength(1);
});

test("a revocation that met a full disk is finished without being asked for again", async () => {
  const { registry, tuf, disk, said } = await newRegistry();
  disk.isFull = true;
  await expect(registry.revoke("edge", "2", "ada", "bad")).rejects.toThrow("ENOSPC");
  await expect(registry.finishRevocations()).rejects.toThrow("ENOSPC");
  disk.isFull = false;
  await registry.finishRevocations();
  await registry.finishRevocations();
  expect([...tuf.listed().keys()]).toEqual([first.modelDigest]);
  expect(said.filter((event) => event === "model_revoked")).toHaveLength(1);
});

test("a revocation of which Kafka has the model and not the aliases loses them at the start, or when asked again", async () => {
  for (const finish of ["mend", "revoke"] as const) {
    const { registry, table, tuf, sent } = await newRegistry();
    table.applyModel(revokedOf(second)); // As a registry reads it that was killed between the two.
    await (finish === "mend" ? registry.mend() : registry.revoke("edge", "2", "ada", "bad"));
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
