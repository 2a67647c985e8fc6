import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, readlink, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import {
  type LoadedModel,
  type ModelPackage,
  packageFiles,
  parseCalibration,
  parseGoldenIndex,
  parseLabels,
  parseManifest,
  parsePreprocessing,
  parseReferenceSketch,
  quantiseTensor,
} from "@tributary/inference";
import { Failure, seededRandom } from "@tributary/kernel";
import { checkGoldenFrames } from "./golden.ts";
import { type HostLimits, ModelHostExited, OnnxModelHost } from "./host.ts";
import { PreprocessHost } from "./preprocess-host.ts";

const models = join(import.meta.dirname, "../../../../models");
const EDGE = join(models, "edge-resnet8");
const read = async (pkg: ModelPackage, path: string) => new Uint8Array(await readFile(join(pkg.dir, path)));

/** The committed package without the store's checks, which are the store's tests. */
async function open(dir: string): Promise<ModelPackage> {
  const json = async (path: string) => JSON.parse(await readFile(join(dir, path), "utf8"));
  const labels = parseLabels(await json(packageFiles.labels));
  return {
    dir,
    digest: createHash("sha256")
      .update(await readFile(join(dir, packageFiles.manifest)))
      .digest("hex"),
    manifest: parseManifest(await json(packageFiles.manifest)),
    labels,
    calibration: parseCalibration(await json(packageFiles.calibration)),
    preprocessing: parsePreprocessing(await json(packageFiles.preprocessor)),
    preprocessingDigest: "",
    policy: null,
    referenceSketch: parseReferenceSketch(await json(packageFiles.referenceSketch)),
    golden: parseGoldenIndex(await json(packageFiles.goldenIndex), labels.length),
    faults: null,
    cameraFaults: null,
    confusion: null,
  };
}

const loaded: LoadedModel[] = [];
async function load(
  change: (pkg: ModelPackage) => ModelPackage = (pkg) => pkg,
  limits: Partial<HostLimits> = {},
  pixelsMax?: number,
  dir = EDGE,
): Promise<LoadedModel> {
  const host = new OnnxModelHost(async (from) => change(await open(from)), limits);
  const model = await host.load(dir, { threads: 1, ...(pixelsMax === undefined ? {} : { pixelsMax }) });
  loaded.push(model);
  return model;
}
const failureOf = (promise: Promise<unknown>): Promise<Failure> =>
  promise.then(
    () => Promise.reject(new Error("nothing was refused")),
    (error: unknown) => (error instanceof Failure ? error : Promise.reject(error)),
  );
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

let jpegs: Uint8Array[] = [];
let shared: LoadedModel;
beforeAll(async () => {
  const pkg = await open(EDGE);
  jpegs = await Promise.all(pkg.golden.frames.map(({ jpeg }) => read(pkg, jpeg)));
  shared = await load();
});
afterAll(async () => {
  await Promise.all(loaded.map((model) => model.close()));
  expect(loaded.filter(({ pid }) => isAlive(pid))).toEqual([]);
});

test.each(["edge-resnet8", "cloud-vgg"])(
  "%s: its golden frames pass on this machine (golden.ts F1, F2)",
  async (name) => {
    const dir = join(models, name);
    const report = await checkGoldenFrames(await load(undefined, {}, undefined, dir), await open(dir), read);
    expect(report).toMatchObject({ passed: true, failed: 0 });
    expect(report.frames.length).toBeGreaterThanOrEqual(12);
  },
);

test("golden frames see a pipeline that preprocesses otherwise", async () => {
  const broken = (change: Partial<ModelPackage["preprocessing"]>) => (pkg: ModelPackage) => ({
    ...pkg,
    preprocessing: { ...pkg.preprocessing, ...change },
  });
  const pkg = await open(EDGE);
  const bgr = await checkGoldenFrames(await load(broken({ channelOrder: "BGR" })), pkg, read);
  const bilinear = { ...pkg.preprocessing, resize: { width: 32, height: 32, kernel: "bilinear" as const } };
  const soft = await checkGoldenFrames(await load(broken(bilinear)), pkg, read);
  const unscaled = await checkGoldenFrames(await load(broken({ offset: [0, 0, 0] })), pkg, read);
  for (const report of [bgr, soft, unscaled]) expect(report.passed).toBe(false);
});

test("a batch gives the answers of its pictures alone, in order, pipelined or not", async () => {
  const alone = [];
  for (const jpeg of jpegs) alone.push(await shared.infer(jpeg, { features: true }));
  const damaged = jpegs[3]?.subarray(0, 900) as Uint8Array;
  const batch = await shared.inferBatch([...jpegs.slice(0, 3), damaged, ...jpegs.slice(4)], { features: true });
  const piped = await Promise.all(jpegs.map((jpeg) => shared.infer(jpeg)));
  for (const [i, single] of alone.entries()) {
    const [one, many, pipe] = [single, batch[i], piped[i]];
    if (!one.ok || !pipe?.ok) throw new Error("refused");
    expect(pipe.inference.logits).toEqual(one.inference.logits);
    expect(pipe.inference.features).toBeNull();
    if (i === 3) {
      expect(many).toMatchObject({ ok: false, code: "image-undecodable" });
      continue;
    }
    if (!many?.ok) throw new Error("refused");
    for (const [j, logit] of one.inference.logits.entries()) expect(many.inference.logits[j]).toBeCloseTo(logit, 3);
    expect(many.inference.features).toHaveLength(64);
    expect(many.inference.picture).toEqual(one.inference.picture);
  }
});

describe("bad pictures are results, and the model continues (preprocess.ts D1, preprocess.ts D2, child.ts C2)", () => {
  test("cut anywhere", async () => {
    const [jpeg] = jpegs as [Uint8Array];
    for (const share of [0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97]) {
      const result = await shared.infer(jpeg.subarray(0, Math.floor(jpeg.length * share)));
      expect(result).toMatchObject({ ok: false, code: "image-undecodable" });
    }
    expect(await shared.infer(jpeg)).toMatchObject({ ok: true });
  });

  test("with flipped bytes (seed 11)", async () => {
    const random = seededRandom(11);
    const harmed = Array.from({ length: 200 }, (_, i) => {
      const bytes = new Uint8Array(jpegs[i % jpegs.length] as Uint8Array);
      for (let n = 0; n < 5; n++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      return bytes;
    });
    const codes = new Set((await shared.inferBatch(harmed)).map((result) => (result.ok ? "ok" : result.code)));
    expect([...codes].filter((code) => !["ok", "image-undecodable", "image-too-large"].includes(code))).toEqual([]);
    expect(await shared.infer(jpegs[0] as Uint8Array)).toMatchObject({ ok: true });
  });

  test("that claim to be huge: refused by their header", async () => {
    const bytes = new Uint8Array(jpegs[0] as Uint8Array);
    const at = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
    bytes.set([0xff, 0xff, 0xff, 0xff], at + 5);
    expect(await shared.infer(bytes)).toMatchObject({ ok: false, code: "image-too-large" });
    const strict = await load(undefined, {}, 160 * 160 - 1);
    expect(await strict.infer(jpegs[0] as Uint8Array)).toMatchObject({ ok: false, code: "image-too-large" });
  });
});

describe("a file that does not match its manifest is refused, naming where (session.ts N1, N2)", () => {
  const changes: readonly [string, string, (pkg: ModelPackage) => ModelPackage][] = [
    ["logits", "model-manifest-mismatch", (pkg) => withTensors(pkg, { logits: "scores" })],
    ["input", "model-manifest-mismatch", (pkg) => withTensors(pkg, { input: "image" })],
    ["features", "model-manifest-mismatch", (pkg) => withTensors(pkg, { features: "embedding" })],
    ["labels", "model-manifest-mismatch", (pkg) => ({ ...pkg, labels: pkg.labels.slice(1) })],
    ["24 x 32", "model-manifest-mismatch", (pkg) => withSize(pkg, 32, 24)],
    ["32 x 32 x 3", "model-manifest-mismatch", (pkg) => withLayout(pkg, "channels_last")],
    ["SHA-256", "package-digest-mismatch", (pkg) => withModelSha(pkg, "0".repeat(64))],
  ];
  test.each(changes)("%s: %s", async (named, code, change) => {
    const failure = await failureOf(load(change));
    expect(failure.code).toBe(code);
    expect(failure.message).toContain(named);
  });

  test("bytes that are no model", async () => {
    const dir = await mkdtemp(join(tmpdir(), "tributary-onnx-"));
    try {
      const bytes = Buffer.from("not a model");
      await writeFile(join(dir, packageFiles.model), bytes);
      const sha = createHash("sha256").update(bytes).digest("hex");
      const failure = await failureOf(load((pkg) => ({ ...withModelSha(pkg, sha), dir })));
      expect(failure.code).toBe("model-unloadable");
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

describe("lives and deaths of the child", () => {
  test("killed: every caller gets the failure, waiting or later (child-model.ts H3)", async () => {
    const model = await load();
    const waiting = Array.from({ length: 50 }, () => failureOf(model.inferBatch(jpegs)));
    process.kill(model.pid, "SIGKILL");
    for (const failure of await Promise.all(waiting)) expect(failure.code).toBe("model-host-exited");
    expect(await model.exited).toBeNull();
    expect((await failureOf(model.infer(jpegs[0] as Uint8Array))).code).toBe("model-host-exited");
    await model.close();
  });

  test("hung: it is ended after the bound (child-model.ts H3)", async () => {
    const model = await load(undefined, { answerMsMax: 300 });
    process.kill(model.pid, "SIGSTOP");
    expect((await failureOf(model.infer(jpegs[0] as Uint8Array))).code).toBe("model-host-exited");
    expect(await model.exited).toBeNull();
  });

  test.each([
    ["SIGKILL", false],
    ["SIGSEGV", true],
  ] as const)("ended by %s: whether it caused that itself is reported (H3)", async (signal, isOwnFault) => {
    const model = await load();
    const asked = failureOf(model.infer(jpegs[0] as Uint8Array));
    process.kill(model.pid, signal);
    expect(await asked).toMatchObject({ code: "model-host-exited", isOwnFault });
  });

  test("raised after its load: its main thread is in the real-time class if permitted, and it goes on (cores.ts Q2)", async () => {
    const may = spawnSync("chrt", ["--rr", "2", "true"]).status === 0;
    const model = await load();
    const policyOf = async () => (await readFile(`/proc/${model.pid}/stat`, "utf8")).split(") ")[1]?.split(" ")[38];
    expect(await policyOf()).toBe("0");
    model.raise({ priority: 2 });
    expect(await model.infer(jpegs[0] as Uint8Array)).toMatchObject({ ok: true });
    expect(await policyOf()).toBe(may ? "2" : "0");
  });

  test("sends no telemetry, and leaves nothing in its home (child-model.ts H7)", async () => {
    const home = await mkdtemp(join(tmpdir(), "tributary-home-"));
    const before = process.env.HOME;
    process.env.HOME = home;
    try {
      const model = await load();
      expect(await model.infer(jpegs[0] as Uint8Array)).toMatchObject({ ok: true });
      await model.close();
      expect(await readdir(home, { recursive: true })).toEqual([]);
    } finally {
      process.env.HOME = before;
      await rm(home, { recursive: true });
    }
  });

  test("one that exceeds its memory limit is killed and reported as such (child-model.ts H6)", async () => {
    const refused = await failureOf(load(undefined, { memoryBytesMax: 20 << 20, memoryEveryMs: 10 }));
    expect(refused).toMatchObject({ code: "model-memory-exceeded", isOwnFault: true });
    expect(refused.message).toMatch(/it held \d+ MiB of memory, and may hold 20/);
  });

  test.each([
    ["is not started", (pkg: ModelPackage) => ({ ...pkg, dir: "/nowhere" }), {}, "could not be started"],
    ["gives no answer in time", (pkg: ModelPackage) => pkg, { loadMsMax: 1 }, "gave no answer in 1 ms"],
  ])("one that %s is reported so, and is not at fault (H3)", async (_, change, limits, how) => {
    const failure = await failureOf(load(change, limits));
    expect(failure).toBeInstanceOf(ModelHostExited);
    expect(failure).toMatchObject({ isOwnFault: false, message: expect.stringContaining(how) });
  });

  test("batches of many sizes leave no memory behind: cloud-vgg grew by over 100 MiB in 30 of them, and on until it was ended", async () => {
    const model = await load(undefined, {}, undefined, join(models, "cloud-vgg"));
    const peakMiB = async () =>
      Number(/VmHWM:\s+(\d+)/.exec(await readFile(`/proc/${model.pid}/status`, "utf8"))?.[1]) / 1_024;
    const batch = (size: number) =>
      model.inferBatch(Array.from({ length: size }, (_, i) => jpegs[i % jpegs.length] as Uint8Array));
    await batch(64);
    const before = await peakMiB();
    for (let i = 0; i < 30; i++) await batch([50, 20, 64, 33, 7][i % 5] as number);
    expect((await peakMiB()) - before).toBeLessThan(60);
  });

  test("no file descriptor is left for one: it is reported, and affects nothing else (child-model.ts H3)", async () => {
    const built = (path: string) => JSON.stringify(join(import.meta.dirname, path));
    const script = `
      const { openSync } = await import("node:fs");
      const { OnnxModelHost } = await import(${built("../dist/index.js")});
      const { loadPackage } = await import(${built("../../model-store/dist/index.js")});
      const host = new OnnxModelHost(async (dir) => {
        const pkg = await loadPackage(dir);
        try { for (;;) openSync("/dev/null"); } catch { return pkg; }
      });
      await host.load(${JSON.stringify(EDGE)}, { threads: 1 }).catch(({ code }) => process.stdout.write(code));
      await new Promise((resolve) => setTimeout(resolve, 100));`;
    const run = 'ulimit -n 60; exec "$0" --input-type=module -e "$1"';
    const result = spawnSync("sh", ["-c", run, process.execPath, script], { encoding: "utf8" });
    expect(result).toMatchObject({ status: 0, stdout: "model-host-exited" });
  });

  test("closed: pending requests are still answered, then it exits; terminal signals do not reach it (child.ts C1)", async () => {
    const model = await load();
    process.kill(model.pid, "SIGINT");
    process.kill(model.pid, "SIGTERM");
    const asked = model.inferBatch(jpegs);
    await model.close();
    expect((await asked).every((result) => result.ok)).toBe(true);
    expect(await model.exited).toBe(0);
  });

  test("too much at once: refused at once, and room again afterwards (child-model.ts H2)", async () => {
    const model = await load(undefined, { inFlightPicturesMax: jpegs.length });
    const [first, second] = await Promise.all([model.inferBatch(jpegs), model.inferBatch(jpegs)]);
    expect(first.every((result) => result.ok)).toBe(true);
    expect(second.every((result) => !result.ok && result.code === "model-busy")).toBe(true);
    expect(await model.infer(jpegs[0] as Uint8Array)).toMatchObject({ ok: true });
  });

  test.each([
    ["while it infers", "for (;;) await model.infer(jpeg);", false],
    ["while it does not even read its pipe", "setInterval(() => undefined, 1_000);", true],
  ])("its parent killed with -9: it exits too, %s (C1)", async (_, work, isStuck) => {
    const built = (path: string) => JSON.stringify(join(import.meta.dirname, path));
    const script = `
      const { OnnxModelHost } = await import(${built("../dist/index.js")});
      const { loadPackage, readPackageFile } = await import(${built("../../model-store/dist/index.js")});
      const pkg = await loadPackage(${JSON.stringify(EDGE)});
      const jpeg = await readPackageFile(pkg, pkg.golden.frames[0].jpeg);
      const model = await new OnnxModelHost(loadPackage).load(pkg.dir, { threads: 1 });
      console.log(model.pid);
      ${work}`;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", 2] });
    const pid = Number(
      await new Promise<string>((resolve) => parent.stdout?.once("data", (text) => resolve(`${text}`))),
    );
    expect(isAlive(pid)).toBe(true);
    if (isStuck) process.kill(pid, "SIGSTOP"); // As in a run of the session that does not end.
    parent.kill("SIGKILL");
    for (let i = 0; i < 100 && isAlive(pid); i++) await new Promise((resolve) => setTimeout(resolve, 50));
    const isOrphan = isAlive(pid);
    if (isOrphan) process.kill(pid, "SIGKILL");
    expect(isOrphan).toBe(false);
  });
});

test("weights in another file, which were not hashed, are refused in any working directory (session.ts N3)", async () => {
  // Made with onnx 1.23: logits = input + w, `w` in weights.bin.
  const model = Buffer.from(
    "CAg6gwEKFwoFaW5wdXQKAXcSBmxvZ2l0cyIDQWRkEgFnKjAIBBABQgF3ahcKCGxvY2F0aW9uEgt3ZWlnaHRzLmJpbmoMCgZsZW5ndGgSAjE2cAFaGAoFaW5wdXQSDwoNCAESCQoDEgFOCgIIBGIZCgZsb2dpdHMSDwoNCAESCQoDEgFOCgIIBEIECgAQEQ==",
    "base64",
  );
  const dir = await mkdtemp(join(tmpdir(), "tributary-external-"));
  try {
    await cp(EDGE, dir, { recursive: true });
    await writeFile(join(dir, packageFiles.model), model);
    await writeFile(join(dir, "weights.bin"), Buffer.alloc(16));
    const sha256 = createHash("sha256").update(model).digest("hex");
    const failure = await failureOf(load((pkg) => withModelSha(pkg, sha256), {}, undefined, dir));
    expect(failure).toMatchObject({ code: "model-external-data", advice: "give-up" });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test("its child stands among its package's files, whatever the working directory (session.ts N3)", async () => {
  const model = await load(undefined, {}, undefined, relative(process.cwd(), EDGE));
  expect(await readlink(`/proc/${model.pid}/cwd`)).toBe(await realpath(EDGE));
});

function withTensors(pkg: ModelPackage, change: Partial<ModelPackage["manifest"]["tensors"]>): ModelPackage {
  return { ...pkg, manifest: { ...pkg.manifest, tensors: { ...pkg.manifest.tensors, ...change } } };
}

function withSize(pkg: ModelPackage, width: number, height: number): ModelPackage {
  return { ...pkg, preprocessing: { ...pkg.preprocessing, resize: { width, height, kernel: "bicubic" } } };
}

function withLayout(pkg: ModelPackage, layout: "channels_first" | "channels_last"): ModelPackage {
  return { ...pkg, preprocessing: { ...pkg.preprocessing, layout } };
}

function withModelSha(pkg: ModelPackage, sha256: string): ModelPackage {
  const model = { bytes: pkg.manifest.files[packageFiles.model]?.bytes ?? 0, sha256 };
  return { ...pkg, manifest: { ...pkg.manifest, files: { ...pkg.manifest.files, [packageFiles.model]: model } } };
}

test.each([
  ["as the package specifies", (pkg: ModelPackage) => pkg],
  [
    "pictures of the model's own size",
    (pkg: ModelPackage) => ({ ...pkg, preprocessing: { ...pkg.preprocessing, resize: null } }),
  ],
] as const)("a child without a model gives the tensors that one would get: %s", async (_name, change) => {
  const pkg = change(await open(EDGE));
  const host = new PreprocessHost(async () => pkg, read);
  const preprocessor = await host.load(EDGE, { threads: 1 });
  try {
    const frames = await Promise.all(pkg.golden.frames.map(({ jpeg }) => read(pkg, jpeg)));
    const broken = Uint8Array.of(0xff, 0xd8, 1, 2);
    const prepared = await preprocessor.prepare([frames[0] as Uint8Array, broken, ...frames]);
    expect(prepared[1]).toMatchObject({ ok: false, code: "image-undecodable" });
    if (pkg.preprocessing.resize === null) {
      expect(preprocessor.shape).toEqual([3, 160, 160]);
      return;
    }
    const model = await load();
    for (const [i, frame] of frames.entries()) {
      const one = prepared[i + 2];
      const wanted = await model.infer(frame, { tensorDigest: true });
      if (!one?.ok || !wanted.ok) throw new Error("a golden frame was refused");
      expect(createHash("sha256").update(quantiseTensor(one.tensor)).digest("hex")).toBe(wanted.inference.tensorDigest);
    }
    process.kill(preprocessor.pid, "SIGKILL");
    expect((await failureOf(preprocessor.prepare(frames))).code).toBe("model-host-exited");
  } finally {
    await preprocessor.close();
  }
});

test("preprocessing is changed and restored in the same process; one that does not fit the model ends it", async () => {
  const pkg = await open(EDGE);
  const model = await new OnnxModelHost(open).load(EDGE, { threads: 1 });
  loaded.push(model);
  const jpegs = await Promise.all(pkg.golden.frames.map(({ jpeg }) => read(pkg, jpeg)));
  const logits = async () =>
    (await model.inferBatch(jpegs)).map((result) => (result.ok ? [...result.inference.logits] : result.code));
  const before = await logits();
  const { preprocessing } = pkg;
  await model.prepareBy({ ...preprocessing, scale: preprocessing.scale.map((scale) => 2 * scale) });
  expect(await logits()).not.toEqual(before);
  await model.prepareBy(preprocessing);
  expect(await logits()).toEqual(before);
  const refused = await failureOf(model.prepareBy({ ...preprocessing, layout: "channels_last" }));
  expect(refused).toMatchObject({ code: "model-manifest-mismatch" });
  expect(isAlive(model.pid)).toBe(false);
});

test("a tensor that was preprocessed elsewhere is answered as its picture is; one of another size is refused", async () => {
  const pkg = await open(EDGE);
  const jpegs = await Promise.all(pkg.golden.frames.slice(0, 3).map(({ jpeg }) => read(pkg, jpeg)));
  const preprocessor = await new PreprocessHost(open, read).load(EDGE, { threads: 1 });
  const prepared = await preprocessor.prepare(jpegs).finally(() => preprocessor.close());
  const tensors = prepared.map((one) => (one.ok ? one.tensor : new Float32Array()));
  const model = await new OnnxModelHost(open).load(EDGE, { threads: 1 });
  loaded.push(model);
  const results = await model.inferTensors([...tensors, new Float32Array(7)]);
  for (const [i, jpeg] of jpegs.entries()) {
    const alone = await model.infer(jpeg);
    expect(results[i]).toMatchObject({ ok: true, inference: { logits: alone.ok && alone.inference.logits } });
  }
  expect(results[3]).toMatchObject({ ok: false, code: "tensor-size-wrong" });
});
