/**
 * Examines a package that came from elsewhere before anybody relies on it.
 *
 * Every byte is what its manifest lists, and the manifest has the digest that was asked for (G6). The model is run as devices
 * run it: in a child, on the golden frames, which must have the results that its maker listed. Its time is measured, on this
 * machine; for hardware that is slower, by a factor that is known. A busy machine must not decide: of three rounds the best
 * counts.
 *
 * X3. A refusal names what is wrong and what to do; of the model's file all that is wrong at once. */
import type { LoadedModel, ModelPackage, PackageManifest } from "@tributary/inference";
import { anyHardware, packageFiles } from "@tributary/inference";
import { type Digest, Failure } from "@tributary/kernel";
import { loadPackage, loadWorld, readPackageFile } from "@tributary/model-store";
import { checkGoldenFrames, modelFacts, OnnxModelHost } from "@tributary/onnx";

export type ExamineSettings = {
  /** How many times slower than this machine each known hardware class is. */
  readonly hardwareClasses: Readonly<Record<string, number>>;
  readonly packageBytesMax: number;
  readonly threads: number;
};

export type Examination = ClassifierExamination | WorldExamination;

export type WorldExamination = {
  readonly kind: "world";
  readonly digest: Digest;
  readonly cells: number;
  readonly labels: readonly string[];
};

export type ClassifierExamination = {
  readonly kind: "classifier";
  readonly digest: Digest;
  readonly labels: readonly string[];
  readonly opset: number;
  readonly operators: readonly string[];
  readonly golden: { readonly frames: number; readonly equal: number; readonly withinBand: number };
  readonly latency: {
    /** Frames of a round. */
    readonly frames: number;
    /** Preprocessing and run of one frame, in ms, here. */
    readonly p50Ms: number;
    readonly p95Ms: number;
    /** Times slower than here that its hardware is. */
    readonly slowdown: number;
    readonly budgetMs: number;
  };
};

/** Older operator sets are not read by the runtimes of devices, newer ones not yet. */
export const OPSET_MIN = 7;
export const OPSET_MAX = 25;
/** Domains that ONNX Runtime's own builds bring. */
const DOMAINS = ["ai.onnx.ml", "com.microsoft"];
const ROUNDS = 3;
const TIMED = 100;
const WARM_UP = 10;
/** A round ends after this, whatever it has seen. */
const ROUND_MS_MAX = 15_000;

export async function examinePackage(
  dir: string,
  settings: ExamineSettings,
  options: { readonly digest?: Digest } = {},
  progress: (line: string) => void = () => {},
): Promise<Examination> {
  const world = await loadWorld(dir, options).catch((error: unknown) => {
    if (error instanceof Failure && error.code === "package-other-kind") return null;
    throw error;
  });
  if (world !== null) {
    const { digest, table } = world;
    checkSize(world.manifest, settings.packageBytesMax);
    return { kind: "world", digest, labels: table.labels, cells: Object.keys(table.cells).length };
  }
  const pkg = await loadPackage(dir, options);
  const { manifest } = pkg;
  checkSize(manifest, settings.packageBytesMax);
  const slowdown = slowdownOf(manifest.hardwareClass, settings.hardwareClasses);
  const { opset, operators } = await checkModelFile(pkg);
  progress(`opset ${opset}, ${operators.length} operators`);
  const model = await new OnnxModelHost(loadPackage).load(dir, { threads: settings.threads });
  try {
    const golden = await checkGolden(model, pkg);
    progress(`${golden.frames} golden frames, ${golden.equal} equal to the bit`);
    const timed = await timeOf(model, pkg, slowdown);
    progress(
      `p95 ${timed.p95Ms.toFixed(1)} ms here, budget ${manifest.latencyBudgetMs} ms on ${manifest.hardwareClass}`,
    );
    if (timed.p95Ms * slowdown > manifest.latencyBudgetMs) throw tooSlow(pkg, timed, slowdown);
    return {
      kind: "classifier",
      digest: pkg.digest,
      labels: pkg.labels,
      opset,
      operators,
      golden,
      latency: { ...timed, slowdown, budgetMs: manifest.latencyBudgetMs },
    };
  } finally {
    await model.close();
  }
}

function checkSize(manifest: PackageManifest, bytesMax: number): void {
  const bytes = Object.values(manifest.files).reduce((sum, file) => sum + file.bytes, 0);
  if (bytes <= bytesMax) return;
  const message = `${nameOf(manifest)} has ${bytes} bytes, packages may have ${bytesMax}: quantise or prune the model`;
  throw new Failure("package-too-large", "give-up", message);
}

/** Times slower than this machine. A package for all hardware goes by `generic` or `any`, whichever is known; else by the
 * slowest class, which may get it too. Throws Failure `hardware-class-unknown`. */
export function slowdownOf(hardwareClass: string, known: ExamineSettings["hardwareClasses"]): number {
  const isForAny = anyHardware.includes(hardwareClass);
  for (const name of isForAny ? [hardwareClass, ...anyHardware] : [hardwareClass]) {
    const slowdown = Object.hasOwn(known, name) ? known[name] : undefined;
    if (slowdown !== undefined) return slowdown;
  }
  if (isForAny) return Math.max(1, ...Object.values(known));
  const names = Object.keys(known).join(", ");
  const message = `hardware class "${hardwareClass}" is not known; known are ${names}. Pack it for one of them, as "generic" if it is for all, or name it in the registry's hardwareClasses`;
  throw new Failure("hardware-class-unknown", "ask-a-person", message);
}

/** X3: what the file declares. Shapes and weights outside are looked at where it is loaded. */
async function checkModelFile(pkg: ModelPackage): Promise<{ opset: number; operators: readonly string[] }> {
  const facts = modelFacts(await readPackageFile(pkg, packageFiles.model));
  if (facts === null) {
    const message = `${packageFiles.model} is no ONNX model that can be read`;
    throw new Failure("model-unloadable", "give-up", message);
  }
  const problems: string[] = [];
  const { opset, otherOpsets, operators } = facts;
  if (opset === null || opset < OPSET_MIN || opset > OPSET_MAX) {
    problems.push(`opset ${opset ?? "missing"}: devices run ${OPSET_MIN} to ${OPSET_MAX}; export it for one of these`);
  }
  const isForeign = (operator: string) => operator.includes(":") && !DOMAINS.includes(operator.split(":")[0] ?? "");
  const foreign = operators.filter(isForeign);
  if (foreign.length > 0) {
    const list = foreign.slice(0, 5).join(", ") + (foreign.length > 5 ? ` and ${foreign.length - 5} more` : "");
    problems.push(`operators ${list}: no runtime of a device has them; export the model with ONNX's own`);
  }
  const missing = operators.map((operator) => operator.split(":")).filter((parts) => parts.length > 1);
  const undeclared = [...new Set(missing.map(([domain = ""]) => domain))].filter((d) => !Object.hasOwn(otherOpsets, d));
  if (undeclared.length > 0) problems.push(`operators of ${undeclared.join(", ")}: the file imports no such set`);
  if (problems.length > 0 || opset === null) {
    throw new Failure("model-unfit", "give-up", `${nameOf(pkg.manifest)} does not fit: ${problems.join("; ")}`);
  }
  return { opset, operators };
}

async function checkGolden(model: LoadedModel, pkg: ModelPackage): Promise<ClassifierExamination["golden"]> {
  const { passed, failed, frames, equal, withinBand } = await checkGoldenFrames(model, pkg, readPackageFile);
  if (passed) return { frames: frames.length, equal, withinBand };
  const wrong = frames.filter(({ kind }) => kind === "failed").map(({ frame, reason }) => `${frame}: ${reason}`);
  const some = wrong.slice(0, 3).join("; ") + (wrong.length > 3 ? ` and ${wrong.length - 3} more` : "");
  const message = `${failed} of ${frames.length} golden frames of ${nameOf(pkg.manifest)} have other results than its maker listed (${some}): pack it again with tributary models pack`;
  throw new Failure("golden-frames-differ", "give-up", message);
}

async function timeOf(
  model: LoadedModel,
  pkg: ModelPackage,
  slowdown: number,
): Promise<Pick<ClassifierExamination["latency"], "frames" | "p50Ms" | "p95Ms">> {
  const jpegs = await Promise.all(pkg.golden.frames.map(({ jpeg }) => readPackageFile(pkg, jpeg)));
  let best = { frames: 0, p50Ms: Number.POSITIVE_INFINITY, p95Ms: Number.POSITIVE_INFINITY };
  for (let round = 0; round < ROUNDS; round++) {
    const times: number[] = [];
    const startedAt = performance.now();
    for (let i = 0; i < TIMED + WARM_UP; i++) {
      const result = await model.infer(jpegs[i % jpegs.length] as Uint8Array);
      const isCounted = i >= WARM_UP || performance.now() - startedAt > ROUND_MS_MAX / 2;
      if (result.ok && isCounted) times.push(result.inference.timingsMs.preprocess + result.inference.timingsMs.run);
      if (performance.now() - startedAt > ROUND_MS_MAX && times.length > 0) break;
    }
    times.sort((a, b) => a - b);
    const at = (q: number) => times[Math.min(times.length - 1, Math.floor(q * times.length))] as number;
    if (at(0.95) < best.p95Ms) best = { frames: times.length, p50Ms: at(0.5), p95Ms: at(0.95) };
    if (best.p95Ms * slowdown <= pkg.manifest.latencyBudgetMs) break;
  }
  return best;
}

function tooSlow({ manifest }: ModelPackage, { p95Ms, frames }: { p95Ms: number; frames: number }, slowdown: number) {
  const there = slowdown === 1 ? "" : `, ${(p95Ms * slowdown).toFixed(1)} ms on ${manifest.hardwareClass}`;
  const message = `${nameOf(manifest)} takes ${p95Ms.toFixed(1)} ms here${there} for a frame (p95 of ${frames}), its budget is ${manifest.latencyBudgetMs} ms: make it faster, or pack it with a larger --latency-budget-ms`;
  return new Failure("latency-over-budget", "give-up", message);
}

const nameOf = ({ name, version }: { readonly name: string; readonly version: string }): string => `${name} ${version}`;
