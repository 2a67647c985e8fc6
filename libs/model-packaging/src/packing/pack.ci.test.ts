/** `models pack` on the real runtime, from the committed packages' own files: their golden frames stand in for validation. */
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { packagedPreprocessing, packageFiles, parsePreprocessing } from "@tributary/inference";
import { exitFlags } from "@tributary/kernel";
import { loadPackage, readPackageFile } from "@tributary/model-store";
import { checkGoldenFrames, OnnxModelHost } from "@tributary/onnx";
import { parsePolicy } from "@tributary/routing";
import { type PackOptions, packModel } from "./pack.ts";
import { type Pipeline, type PipelineFault, pipelineFaults, rightPipeline } from "./pipeline-faults.ts";

const MODELS = fileURLToPath(new URL("../../../../models/", import.meta.url));
const EDGE = join(MODELS, "edge-resnet8");
const CLOUD = join(MODELS, "cloud-vgg");
const COPIES = 8;
const WRONG_LABELS = 2;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tributary-pack-test-"));
  const { golden, labels } = await loadPackage(EDGE);
  await writeFile(join(folder, "lineage.json"), '{ "dataset": "golden frames" }');
  await mkdir(join(folder, "frames"));
  const named: Record<string, string> = {};
  for (let copy = 0; copy < COPIES; copy++) {
    for (const [i, { jpeg, logits }] of golden.frames.entries()) {
      const file = `${copy}-${i}.jpg`;
      await copyFile(join(EDGE, jpeg), join(folder, "frames", file));
      // Some labels disagree with the edge, so that there is something to learn; with more of them, other readings of the preprocessing
      // would be tried, which takes longer than the rest of packing, and is tested below.
      const place = logits.indexOf(Math.max(...logits)) + (copy === 0 && i < WRONG_LABELS ? 1 : 0);
      named[file] = labels[place % labels.length] as string;
    }
  }
  await writeFile(join(folder, "frames", "labels.json"), JSON.stringify(named));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const options = {
  model: join(EDGE, packageFiles.model),
  labels: join(EDGE, packageFiles.labels),
  preprocess: join(EDGE, packageFiles.preprocessor),
  get validation() {
    return join(folder, "frames");
  },
  get lineage() {
    return join(folder, "lineage.json");
  },
  name: "edge-test",
  version: "1.2.3",
  preprocessedBy: "jpeg",
  hardwareClass: "test",
  // The gate judges the time of a frame, which a busy machine must not decide.
  latencyBudgetMs: 60_000,
  threads: 1,
  cloud: CLOUD,
} as const satisfies PackOptions;
const pack = (out: string, change: Partial<PackOptions> = {}, lines: string[] = []) =>
  packModel(join(folder, out), { ...options, ...change }, (line) => lines.push(line));

let first: Promise<string> | undefined;
const printed: string[] = [];
const one = () => (first ??= pack("one", {}, printed));

test("a package loads, passes its own golden frames, has a policy, and what drift is named with", async () => {
  const digest = await one();
  const pkg = await loadPackage(join(folder, "one"), { digest });
  expect(pkg.manifest).toMatchObject({ name: "edge-test", version: "1.2.3", latencyBudgetMs: 60_000 });
  expect(pkg.manifest.lineage.dataset).toBe("golden frames");
  expect(pkg.manifest.metrics.accuracy).toBeCloseTo(1 - WRONG_LABELS / 128, 10);
  expect(pkg.referenceSketch).toMatchObject({ formatVersion: 2, frames: 128 });
  expect(pkg.faults?.pipeline.length).toBeGreaterThanOrEqual(20);
  expect(pkg.faults?.pipeline.find(({ name }) => name === "channels-swapped")?.logits).toHaveLength(8);
  const { examples = [] } = pkg.cameraFaults ?? {};
  expect(new Set(examples.map(({ name }) => name)).size).toBe(26);
  // What is listed is no finding about this model, and must not read as one.
  const lines = printed.join("\n");
  expect(lines).toMatch(/ {2}\d+ faults of preprocessing can be recognised on devices later: .*not-rescaled/);
  expect(lines).toContain("  26 faults of cameras can be recognised on devices later: dark, ");
  expect(lines).toContain("none of them is a fault of this model");
  const shiftsOf = (fault: string) => examples.findLast(({ name }) => name === fault)?.shifts;
  expect(shiftsOf("dark")?.luminance).toBeLessThan(-0.2);
  expect(shiftsOf("hard-compression")?.quality).toBeLessThan(-0.5);
  expect(shiftsOf("other-encoder")?.encoder).toBe(1);
  expect(pkg.confusion?.counts.flat().reduce((sum, count) => sum + count, 0)).toBe(128);
  expect(Object.keys(pkg.confusion?.means ?? {})).toHaveLength(11);
  const policy = parsePolicy(pkg.policy);
  expect(policy.temperature).toBe(pkg.calibration.temperature);
  expect(policy.guarantee.escalationShare).toBeLessThanOrEqual(policy.escalationShareMax);
  const model = await new OnnxModelHost(loadPackage).load(join(folder, "one"), { threads: 1 });
  try {
    const report = await checkGoldenFrames(model, pkg, readPackageFile);
    expect(report).toMatchObject({ passed: true, equal: pkg.golden.frames.length });
  } finally {
    await model.close();
  }
});

test("what cannot be packed is named, and nothing is left behind", async () => {
  const unknown = join(folder, "unknown.json");
  await writeFile(unknown, '{ "escalationShareMax": 0.2, "luck": 1 }');
  await expect(pack("three", { policy: unknown })).rejects.toThrow("luck");
  const wrong = join(folder, "wrong");
  await mkdir(wrong);
  await writeFile(join(wrong, "labels.json"), '{ "a.jpg": "unicorn" }');
  await expect(pack("three", { validation: wrong })).rejects.toThrow("unicorn");
  const few = join(folder, "few.txt");
  await writeFile(few, "cat\ndog\n");
  await expect(pack("three", { labels: few })).rejects.toThrow(
    /label count: "logits" has 10 classes, the labels file 2/,
  );
  const grey = join(folder, "grey.json");
  const config = JSON.parse(await readFile(options.preprocess, "utf8")) as object;
  await writeFile(
    grey,
    JSON.stringify({ ...config, do_convert_rgb: false, channel_order: "L", image_mean: 0, image_std: 1 }),
  );
  await expect(pack("three", { preprocess: grey })).rejects.toThrow(/"channel_order": "RGB"/);
  await expect(pack("three", { model: options.labels })).rejects.toThrow(/no ONNX model/);
  await expect(pack("three", { logits: "scores" })).rejects.toThrow(/--logits scores: .*"logits" \(float32/);
  await expect(pack("three", { cloud: join(folder, "nowhere") })).rejects.toThrow(/nowhere/);
  await expect(readFile(join(folder, "three", "manifest.json"))).rejects.toThrow("ENOENT");
});

test("a model that sees nothing is not packed, and the fault is named with what to write where", async () => {
  const shuffled = join(folder, "shuffled.json");
  const labels = JSON.parse(await readFile(options.labels, "utf8")) as string[];
  await writeFile(shuffled, JSON.stringify([...labels.slice(1), labels[0]]));
  await expect(pack("three", { labels: shuffled, cloud: undefined })).rejects.toThrow(
    /labels are in another order: write airplane, automobile, .* in .*shuffled\.json: right on \d+ instead of/,
  );
  const raw = join(folder, "raw.json");
  const config = JSON.parse(await readFile(options.preprocess, "utf8")) as object;
  await writeFile(raw, JSON.stringify({ ...config, do_rescale: false }));
  await expect(pack("three", { preprocess: raw, cloud: undefined })).rejects.toThrow(
    /no better than guessing.\n.*: write "do_rescale": true in .*raw\.json: right on \d+ instead of/,
  );
});

const config = async () => packagedPreprocessing(JSON.parse(await readFile(options.preprocess, "utf8")));

/** A folder as a trainer with this preprocessing saves it, of a package's golden frames; off by one of 255 here and there, as another
 * decoder is. */
async function trained(name: string, tensorOf: Pipeline, from = EDGE): Promise<string> {
  const dir = join(folder, name);
  await mkdir(dir);
  const { golden, preprocessing } = await loadPackage(from);
  for (const [i, { jpeg }] of golden.frames.entries()) {
    const bytes = await readFile(join(from, jpeg));
    const tensor = await tensorOf(bytes);
    const area = tensor.length / 3;
    const noisy = tensor.map((value, at) => value + ((at % 3) - 1) * (preprocessing.scale[Math.floor(at / area)] ?? 0));
    const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 32, 32), }".padEnd(117);
    const head = Buffer.from(`\x93NUMPY\x01\x00\x76\x00${header}\n`, "latin1");
    const file = join(dir, String(i).padStart(2, "0"));
    await writeFile(`${file}.npy`, Buffer.concat([head, new Uint8Array(noisy.buffer)]));
    await writeFile(`${file}.jpg`, bytes);
  }
  return dir;
}

describe("with a trainer's golden tensors", () => {
  test.each([
    ["not-rescaled", { do_rescale: false }, '"do_rescale": true'],
    ["channels-swapped", { channel_order: "BGR" }, '"channel_order": "RGB"'],
    ["other-kernel", { resample: 2 }, '"resample": 3'],
  ])("a file with the fault %s is refused, with its name and what to write", async (fault, change, cure) => {
    const right = parsePreprocessing(await config());
    const golden = await trained(`trained-${fault}`, rightPipeline(right));
    const preprocess = join(folder, `${fault}.json`);
    await writeFile(preprocess, JSON.stringify({ ...(await config()), ...change }));
    const refusal = await pack("three", { golden, preprocess }).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: "golden-tensors-differ" });
    expect(refusal).toMatchObject({ message: expect.stringContaining(`Fault: ${fault}. `) });
    expect(refusal).toMatchObject({ message: expect.stringContaining(`${cure}: write that in ${preprocess}`) });
    await expect(readFile(join(folder, "three", "manifest.json"))).rejects.toThrow("ENOENT");
  });

  test("what no file can describe is named, too", async () => {
    const cropped = pipelineFaults(await config()).find(({ name }) => name === "centre-cropped");
    const golden = await trained("trained-cropped", (cropped as PipelineFault).tensorOf);
    await expect(pack("three", { golden })).rejects.toThrow(
      /Fault: centre-cropped\. .* change the preprocessing of the training/,
    );
    await rm(join(golden, "03.jpg"));
    await expect(pack("three", { golden })).rejects.toThrow(/03\.npy has no 03\.jpg/);
  });
});

test("the command line makes the same bytes again, of golden frames with a trainer's tensors (pack.ts K2)", async () => {
  const first = await one();
  const golden = await trained("trained", rightPipeline(parsePreprocessing(await config())), join(folder, "one"));
  const { model, labels, preprocess, validation, lineage, cloud, name, version } = options;
  const given = { model, labels, preprocess, validation, lineage, cloud, name, version, golden };
  const budget = ["--hardware-class", options.hardwareClass, "--latency-budget-ms", String(options.latencyBudgetMs)];
  const dir = join(folder, "printed");
  const args = Object.entries(given).flatMap(([option, value]) => [`--${option}`, value]);
  const cli = [
    ...exitFlags,
    join(MODELS, "../cli/dist/main.js"),
    "models",
    "pack",
    dir,
    ...args,
    ...budget,
    "-o",
    "json",
  ];
  const packed = spawnSync(process.execPath, cli, { encoding: "utf8" });
  const { digest, manifest } = await loadPackage(dir);
  const { metrics } = manifest;
  expect(JSON.parse(packed.stdout)).toEqual({ dir, name: "edge-test", version: "1.2.3", modelDigest: digest, metrics });
  expect(packed.stderr).toContain("128 validation frames");
  expect(packed.stderr).toContain("16 golden frames: the preprocessing makes the trainer's tensors");
  expect(digest).toBe(first);
});

test("the gate is open to a package's equal and closed to what breaks a margin, and names the line", async () => {
  const gate = (candidate: string, champion: string, ...more: readonly string[]) =>
    spawnSync(
      process.execPath,
      [
        ...exitFlags,
        join(MODELS, "../cli/dist/main.js"),
        "models",
        "gate",
        candidate,
        "--champion",
        champion,
        "--validation",
        join(folder, "frames"),
        "--corrupted",
        "40",
        "--html",
        join(folder, "gate.html"),
        "-o",
        "json",
        ...more,
      ],
      { encoding: "utf8" },
    );
  await one();
  const packed = join(folder, "one");
  const equal = gate(packed, packed);
  expect([equal.status, equal.stderr.includes("did not pass")]).toEqual([0, false]);
  const report = JSON.parse(equal.stdout) as {
    passed: boolean;
    lines: { kind: string; name: string; verdict: string }[];
  };
  expect(report.passed).toBe(true);
  const kinds = new Set(report.lines.map(({ kind }) => kind));
  expect(kinds).toEqual(new Set(["accuracy", "class", "calibration", "robustness", "latency", "memory", "golden"]));
  expect(await readFile(join(folder, "gate.html"), "utf8")).toContain("Validation gate: passed");
  const margins = join(folder, "margins.json");
  await writeFile(margins, '{ "megabytes": 1 }');
  const large = gate(packed, packed, "--margins", margins, "--robustness", "glare, sensor-noise");
  const shown = (JSON.parse(large.stdout) as typeof report).lines.filter(({ kind }) => kind === "robustness");
  expect(shown.map(({ name }) => name)).toEqual(["glare", "sensor-noise"]);
  expect(gate(packed, packed, "--robustness", "fog")).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("fog"),
  });
  expect(large.status).toBe(1);
  expect(large.stderr).toMatch(/one did not pass the gate: memory \(/);
  // By slices, its equal is not better on the frames that it would have been trained for: that stops a program's candidate.
  await writeFile(join(folder, "frames", "slices.json"), JSON.stringify({ "0-0.jpg": "site=south" }));
  const drifted = ["--drifted-frames", join(folder, "frames")];
  const sliced = gate(packed, packed, "--corrupted", "0", ...drifted);
  await rm(join(folder, "frames", "slices.json"));
  expect((JSON.parse(sliced.stdout) as typeof report).lines.filter(({ kind }) => kind === "slice")).toMatchObject([
    { name: "old slice base", verdict: "unsure", found: expect.stringContaining("too few frames") },
    { name: "old slice site=south", verdict: "passed", slice: { frames: 1, role: "old", pooled: ["site=south"] } },
    { name: "old slice base with site=south", verdict: "unsure", slice: { frames: 128, pooled: ["site=south"] } },
    { name: "drifted slice drifted", verdict: "failed", slice: { frames: 128, won: 0, lost: 0 } },
  ]);
  expect((JSON.parse(sliced.stdout) as typeof report).lines.filter(({ kind }) => kind === "labels")).toMatchObject([
    {
      name: "labels of drifted",
      verdict: "passed",
      found: expect.stringMatching(/^\d+ of \d+ frames that champion and candidate/),
    },
  ]);
  expect(sliced.stderr).toContain("did not pass the gate: slice (drifted slice drifted)");
  expect(await readFile(join(folder, "gate.html"), "utf8")).toContain("<h2>Accuracy by slice</h2>");
});

test("the committed edge package's policy reads, and was learned against the committed cloud package", async () => {
  const [edge, cloud] = [await loadPackage(EDGE), await loadPackage(CLOUD)];
  expect(parsePolicy(edge.policy).labels).toEqual(edge.labels);
  expect(edge.manifest.lineage.routingPolicyLearnedAgainst).toContain(cloud.digest);
  expect(edge.manifest.files[packageFiles.model]?.bytes).toBeLessThanOrEqual(200_000);
  expect(cloud.manifest.files[packageFiles.model]?.bytes).toBeLessThanOrEqual(20_000_000);
});
