/** A package that came from elsewhere, examined in a process of its own, with every fault it may bring. */
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { packageFiles } from "@tributary/inference";
import { Failure } from "@tributary/kernel";
import { loadPackage, type PackageParts, readPackageFile, writePackage } from "@tributary/model-store";
import { runTask } from "../tasks/run-task.ts";
import type { ExamineSettings } from "./examine.ts";

const EDGE = join(fileURLToPath(new URL("../../../../models/", import.meta.url)), "edge-resnet8");
const settings: ExamineSettings = { hardwareClasses: { generic: 1, pi: 8 }, packageBytesMax: 64 << 20, threads: 1 };

let folder: string;
let parts: PackageParts;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tributary-examine-"));
  const pkg = await loadPackage(EDGE);
  const files: Record<string, Uint8Array> = {};
  for (const path of Object.keys(pkg.manifest.files)) files[path] = await readPackageFile(pkg, path);
  // The time of a frame is judged; a busy machine must not decide.
  parts = { ...pkg.manifest, latencyBudgetMs: 60_000, files };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const examine = (dir: string, change: Partial<ExamineSettings> = {}, digest?: string, progress: string[] = []) =>
  runTask(
    { kind: "examine", dir, settings: { ...settings, ...change }, ...(digest !== undefined && { digest }) },
    { msMax: 60_000, progress: (line) => progress.push(line) },
  );
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => "accepted",
    (error: unknown) => (error instanceof Failure ? `${error.code}: ${error.message}` : String(error)),
  );
const made = async (name: string, change: Partial<PackageParts> = {}) => {
  const dir = join(folder, name);
  await writePackage(dir, { ...parts, ...change });
  return dir;
};

test("a good package is reported with its digest, operators, golden frames and time", async () => {
  const dir = await made("good");
  const { digest } = await loadPackage(dir);
  const lines: string[] = [];
  const found = await examine(dir, {}, digest, lines);
  if (found.kind !== "classifier") throw new Error(found.kind);
  expect(found).toMatchObject({ digest, opset: expect.any(Number), latency: { slowdown: 1, budgetMs: 60_000 } });
  expect(found.operators).toContain("Conv");
  expect(found.golden.equal + found.golden.withinBand).toBe(found.golden.frames);
  expect(found.latency.p50Ms).toBeGreaterThan(0);
  expect(found.latency.p95Ms).toBeGreaterThanOrEqual(found.latency.p50Ms);
  expect(lines.join("\n")).toMatch(/golden frames/);
});

test("what is wrong is refused with a code, and with what to do", async () => {
  const dir = await made("bad");
  expect(await refusal(examine(dir, {}, "0".repeat(64)))).toMatch(/^package-digest-mismatch: /);
  const forToasters = await made("for-toasters", { hardwareClass: "toaster" });
  expect(await refusal(examine(forToasters))).toMatch(/^hardware-class-unknown: .*known are generic, pi\. Pack it for/);
  expect(await refusal(examine(dir, { packageBytesMax: 1_000 }))).toMatch(/^package-too-large: .*quantise/);
  expect(await refusal(examine(join(folder, "nowhere")))).toMatch(/^package-file-missing: /);

  const slow = await made("slow", { latencyBudgetMs: 0.001 });
  expect(await refusal(examine(slow))).toMatch(/^latency-over-budget: .*its budget is 0.001 ms/);
  const onPi = await made("slow-on-pi", { hardwareClass: "pi", latencyBudgetMs: 0.001 });
  expect(await refusal(examine(onPi))).toMatch(/ms on pi for a frame/);

  const golden = JSON.parse(new TextDecoder().decode(parts.files[packageFiles.goldenIndex])) as {
    frames: { logits: number[] }[];
  };
  golden.frames[0]?.logits.reverse();
  const index = new TextEncoder().encode(JSON.stringify(golden));
  const altered = await made("altered", { files: { ...parts.files, [packageFiles.goldenIndex]: index } });
  expect(await refusal(examine(altered))).toMatch(/^golden-frames-differ: 1 of 16 .*pack it again/);

  const noise = { ...parts.files, [packageFiles.model]: new TextEncoder().encode("no model at all") };
  expect(await refusal(examine(await made("noise", { files: noise })))).toMatch(/^model-unloadable: /);

  await appendFile(join(dir, packageFiles.labels), " ");
  expect(await refusal(examine(dir))).toMatch(/^package-digest-mismatch: /);
});

test("an operator that nobody has is named before the runtime stumbles over it (examine.ts X3)", async () => {
  const model = Buffer.from(await readFile(join(EDGE, packageFiles.model)));
  // Of equal length: field 4 of a node is its operator, field 7 the domain it is from.
  const own = Buffer.from("\x22\x0aReduceMean", "latin1");
  const at = model.indexOf(own);
  Buffer.from("\x22\x01S\x3a\x07foreign", "latin1").copy(model, at);
  const dir = await made("foreign", { files: { ...parts.files, [packageFiles.model]: model } });
  expect(await refusal(examine(dir))).toMatch(/^model-unfit: .*foreign:S.*ONNX's own.*imports no such set/);
});

test("a task that is stopped or takes too long ends, and reports that it may be tried again (run-task.ts T1)", async () => {
  const dir = await made("stopped");
  const task = { kind: "examine", dir, settings } as const;
  expect(await refusal(runTask(task, { msMax: 1 }))).toMatch(/^task-died: .*within 1 ms/);
  expect(await refusal(runTask(task, { msMax: 60_000, signal: AbortSignal.abort() }))).toMatch(/^task-died: .*stopped/);
  await writeFile(join(dir, "extra"), "x");
  expect(await refusal(runTask(task, { msMax: 60_000 }))).toMatch(/^package-file-unlisted: /);
});
