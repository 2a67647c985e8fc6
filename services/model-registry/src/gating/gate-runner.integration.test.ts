/** An automatic candidate from its blobs to its record: real packages in the gate's own process. Kafka's part is a table. */
import { createReadStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, expect, test } from "@jest/globals";
import { bytesOf, FolderBlobStore } from "@tributary/blob-store";
import type { GateOutcome, Model } from "@tributary/contracts";
import { systemClock } from "@tributary/kernel";
import { describeFolder } from "@tributary/model-packaging";
import { loadPackage } from "@tributary/model-store";
import { ModelTable } from "@tributary/models";
import { marginDefaults } from "@tributary/models/gate";
import { silentTelemetry, someModel, tempDir, waitFor } from "@tributary/testing";
import type { RegistryConfig } from "../config.ts";
import { Packages } from "../models/packages.ts";
import type { Registry } from "../models/registry.ts";
import { EDGE, partsOf, validationFolder, writePackage } from "../registry.test-kit.ts";
import { ValidationSets } from "../validation/validation-sets.ts";
import { GateRunner } from "./gate-runner.ts";

const dir = tempDir("gate-runner");
afterAll(() => dir.remove());

test("an automatic candidate is judged on the half that packing left and on its slice, and both are counted", async () => {
  const blobs = await FolderBlobStore.open({ dir: join(dir.path, "blobs") });
  const put = async (bytes: Readable) => (await blobs.put(bytes, { bytesMax: 16 << 20 })).digest;
  const pushed = async (folder: string) => {
    const described = await describeFolder(folder);
    for (const { file } of described.manifest.frames) await put(createReadStream(join(folder, file)));
    return put(Readable.from([described.bytes]));
  };
  const frames = await validationFolder(join(dir.path, "frames"), 240);
  const labels = JSON.parse(await readFile(join(frames, "labels.json"), "utf8")) as object;
  const south = Object.keys(labels).slice(0, 20);
  await writeFile(join(frames, "slices.json"), JSON.stringify(Object.fromEntries(south.map((f) => [f, "site=south"]))));
  const validation = await pushed(frames);
  const north = await validationFolder(join(dir.path, "north"), 100);
  const northern = Object.keys(JSON.parse(await readFile(join(north, "labels.json"), "utf8")) as object);
  // Two of four devices are known: the frames of the others count as of one.
  const known = northern.filter((_, i) => i % 4 < 2).map((file, i) => [file, `cam-${i % 2}`] as const);
  await writeFile(join(north, "devices.json"), JSON.stringify(Object.fromEntries(known)));
  const sliceFrames = await pushed(north);
  const lineage = { trainingRun: "run-1", slice: "site=north", sliceFrames, validationSplitSeed: "run-1" };
  const table = new ModelTable();
  for (const [version, change] of [["1", {}] as const, ["2", { lineage }] as const]) {
    const folder = join(dir.path, version);
    await writePackage(folder, await partsOf(EDGE, { name: "edge", version, ...change }));
    const { manifest, digest, labels } = await loadPackage(folder);
    for (const file of [...Object.keys(manifest.files), "manifest.json"])
      await put(createReadStream(join(folder, file)));
    table.applyModel(
      someModel({ name: "edge", version, modelDigest: digest, labels, lineage: manifest.lineage, gate: null }),
    );
  }
  const earlier = { validationDigest: validation, validationGates: 6, sliceDigest: "", sliceGates: 0 } as GateOutcome;
  table.applyModel(someModel({ name: "edge", version: "0", modelDigest: "ab".repeat(32), gate: earlier }));
  const set = { digest: validation, frames: 240, pushedBy: "ada", pushedAt: 1 };
  table.applyAliases({
    name: "edge",
    aliases: { champion: "1", challenger: "2" },
    changedBy: "trainer",
    changedAt: 1,
    validation: set,
  });
  const config = {
    checks: { hardwareClasses: { generic: 1 }, validationBytesMax: 2 ** 30, waitingMax: 1 },
    gate: {
      ...{ attemptsMax: 1, latencySlaMs: {}, robustness: {}, corrupted: 0, threads: 1, msMax: 120_000 },
      margins: { ...marginDefaults, latency: 1_000 }, // A busy machine must not decide.
    },
    validation: {},
  } as unknown as RegistryConfig;
  const outcomes: GateOutcome[] = [];
  const registry = {
    judged: async (name: string, version: string, gate: GateOutcome) => {
      outcomes.push(gate);
      table.applyModel({ ...(table.get(name, version) as Model), gate });
    },
  } as unknown as Registry;
  const packages = await Packages.open(blobs, join(dir.path, "work"));
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
    const outcome = await waitFor(async () => outcomes[0], { what: "the gate", timeoutMs: 120_000, everyMs: 50 });
    expect(outcome).toMatchObject({ passed: false, validationDigest: validation, validationGates: 7 });
    expect(outcome).toMatchObject({ sliceDigest: sliceFrames, sliceGates: 1 });
    // It is its parent's equal: it keeps the old slices, as far as so few frames prove it, and is not better where it should be.
    expect(outcome.failed).toEqual([
      expect.stringMatching(
        /^slice, drifted slice site=north: .* on 100 frames; won 0, lost 0; .* over 3 devices .* not better on them$/,
      ),
    ]);
    expect(outcome.unsure).toContainEqual(
      expect.stringMatching(/^slice, old slice base with site=south: .* on 120 frames; .*too few frames .* would do$/),
    );
    const report = JSON.parse((await bytesOf(blobs, outcome.reportDigest, 1 << 20)).toString());
    expect(report.lines[0]).toMatchObject({
      kind: "slice",
      name: "old slice base",
      slice: { frames: 110, role: "old", devices: null },
    });
    expect(report.seen).toMatchObject({ validationGates: 7, sliceGates: 1 });
  } finally {
    await runner.stop();
  }
});
