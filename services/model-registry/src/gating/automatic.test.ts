/** What a candidate that a program trained must bring, and what happens where it does not: the gate names it and is not passed. */
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, expect, test } from "@jest/globals";
import { FolderBlobStore } from "@tributary/blob-store";
import type { GateOutcome, Model } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { ModelTable } from "@tributary/models";
import { silentTelemetry, someModel, tempDir, waitFor } from "@tributary/testing";
import type { RegistryConfig } from "../config.ts";
import { Packages } from "../models/packages.ts";
import type { Registry } from "../models/registry.ts";
import { ValidationSets } from "../validation/validation-sets.ts";
import { automaticOf, gatesBefore } from "./automatic.ts";
import { GateRunner } from "./gate-runner.ts";

const dir = tempDir("automatic");
afterAll(() => dir.remove());
const DIGEST = "ef".repeat(32);
const lineage = { trainingRun: "run-1", slice: "site=north", sliceFrames: DIGEST, validationSplitSeed: "run-1" };
const champion = someModel({ name: "edge", version: "1", modelDigest: "ab".repeat(32), labels: ["cat", "dog"] });
const challenger = (change: object): Model =>
  someModel({
    ...champion,
    version: "2",
    modelDigest: "cd".repeat(32),
    gate: null,
    lineage: { ...lineage, ...change },
  });

test("lineage names an automatic candidate's slice, and is refused by the key that is missing or malformed", () => {
  expect(automaticOf(challenger({}))).toEqual({ slice: "site=north", frames: DIGEST });
  expect(automaticOf({ ...challenger({}), lineage: { slice: "nonsense" } })).toBeNull();
  for (const [key, value] of [
    ["slice", "north"],
    ["slice", undefined],
    ["sliceFrames", "../../keys"],
    ["validationSplitSeed", undefined],
  ] as const) {
    expect(() => automaticOf(challenger({ [key]: value }))).toThrow(
      new RegExp(
        `edge 2 was trained by a program \\(run run-1\\).*must have ${key}.*; ${value ? "it is" : "there is none"}`,
      ),
    );
  }
});

test("gates on a set of frames are counted from the records, a set by itself", () => {
  const judged = (validationDigest: string, validationGates: number, sliceDigest = "", sliceGates = 0) =>
    ({ gate: { validationDigest, validationGates, sliceDigest, sliceGates } }) as unknown as Model;
  expect(gatesBefore([judged("a", 2), judged("a", 3, "s", 1), judged("b", 1), judged("", 0), champion])).toEqual({
    a: 3,
    b: 1,
    s: 1,
  });
});

/** The outcome of a gate that ends before the models are run: its packages have no files. */
async function outcomeOf(
  name: string,
  put: (blobs: FolderBlobStore) => Promise<string | undefined>,
): Promise<GateOutcome> {
  const blobs = await FolderBlobStore.open({ dir: join(dir.path, name) });
  const sliceFrames = await put(blobs);
  const table = new ModelTable();
  for (const model of [champion, challenger({ sliceFrames })]) table.applyModel(model);
  const aliases = { champion: "1", challenger: "2" };
  table.applyAliases({ name: "edge", aliases, changedBy: "trainer", changedAt: 1, validation: null });
  const config = {
    checks: { hardwareClasses: { generic: 1 }, validationBytesMax: 1_000_000, waitingMax: 1 },
    gate: { attemptsMax: 1, latencySlaMs: {}, robustness: {} },
    validation: { edge: dir.path },
  } as unknown as RegistryConfig;
  let outcome: GateOutcome | undefined;
  const registry = {
    judged: async (_name: string, _version: string, found: GateOutcome) => {
      outcome = found;
      table.applyModel({ ...challenger({ sliceFrames }), gate: found });
    },
  } as unknown as Registry;
  const scratch = await Packages.open(blobs, join(dir.path, `${name}-work`));
  const packages = Object.assign(Object.create(scratch) as Packages, {
    manifest: async () => ({}),
    withFolder: (_: unknown, work: (dir: string) => unknown) => work(dir.path),
    withScratch: scratch.withScratch.bind(scratch),
  });
  const telemetry = silentTelemetry();
  const sets = new ValidationSets(
    config,
    table,
    registry,
    blobs,
    packages,
    systemClock,
    telemetry,
    new AbortController(),
  );
  const runner = new GateRunner(config, table, registry, packages, blobs, sets, systemClock, telemetry);
  runner.start();
  try {
    return await waitFor(async () => outcome, { what: "the gate", timeoutMs: 10_000, everyMs: 5 });
  } finally {
    await runner.stop();
  }
}

const manifestOf = (change: object) => ({
  frames: Array.from({ length: 100 }, (_, i) => ({
    file: `${i}.jpg`,
    sha256: i.toString(16).padStart(64, "0"),
    bytes: 10,
    label: "cat",
    ...change,
  })),
});

test("frames of the slice that are missing, malformed, too many bytes, of other classes or not uploaded stop it at the gate", async () => {
  const put = (json: object) => async (blobs: FolderBlobStore) =>
    (await blobs.put(Readable.from([Buffer.from(JSON.stringify(json))]), { bytesMax: 1 << 20 })).digest;
  const cases = [
    ["none", async () => undefined, /must have sliceFrames, .*there is none$/],
    ["unknown", async () => DIGEST, /sliceFrames (ef){32}\): no blob has the SHA-256/],
    ["malformed", put({ frames: "all" }), /the manifest of the validation set: frames: /],
    ["few", put({ frames: manifestOf({}).frames.slice(1) }), /99 frames are too few; 100 are needed/],
    ["large", put(manifestOf({ bytes: 20_000 })), /2000000 bytes in all, at most 1000000/],
    ["class", put(manifestOf({ label: "fox" })), /is a "fox".*edge has no such class/],
    ["absent", put(manifestOf({})), /has no blob for 0\.jpg/],
  ] as const;
  for (const [name, blob, why] of cases) {
    const outcome = await outcomeOf(name, blob);
    expect([name, outcome]).toEqual([
      name,
      expect.objectContaining({ passed: false, championDigest: champion.modelDigest, validationGates: 0 }),
    ]);
    expect(outcome.failed).toEqual([expect.stringMatching(why)]);
  }
});
