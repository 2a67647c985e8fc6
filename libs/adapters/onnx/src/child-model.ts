/** One running child process, on the host's side of its pipe. A child that violates the protocol is killed: its messages are
 * checked like any other input.
 *
 * H2. Pending requests are bounded in pictures and bytes; beyond, a call fails at once with `model-busy` (G9).
 * H3. When the child exits, or is killed after a timeout, every waiting caller gets `model-host-exited`, and whether that was
 *     the model's own fault; no caller waits forever.
 * H5. The child's working directory is its package's folder, whose every file was checked; it dies with its host even inside a run.
 * H6. A child that exceeds its memory limit is killed with `model-memory-exceeded`, as the model's own fault (G9).
 * H7. It sends no telemetry: ONNX Runtime would send some to its maker, and keep a database below ~/.cache.
 * H8. A busy machine kills no child: what the host was too late to read is read before a child counts as overdue, and one that waits
 *     for a processor or for its memory is waited for. Its successor would wait for both as well, and be loaded first. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import {
  type InferenceResult,
  type InferenceWant,
  type LoadedModel,
  type LoadOptions,
  type ModelPackage,
  type Preprocessing,
  packageFiles,
  type RealTime,
} from "@tributary/inference";
import { exitFlags, Failure, invariant, reasonOf } from "@tributary/kernel";
import { diesWithHost, residentBytesOf } from "@tributary/kernel/processes";
import { type Progress, progressOf, waitsForItsTurn } from "./progress.ts";
import {
  type ChildInit,
  type ChildReady,
  type ChildRefusal,
  decodeAnswers,
  decodeJson,
  encodeInferHead,
  encodeJson,
  MessageReader,
  messageKinds,
  type PrepareInit,
} from "./protocol.ts";

export type HostLimits = {
  /** Pending pictures of a child. */
  readonly inFlightPicturesMax: number;
  /** Their bytes. */
  readonly inFlightBytesMax: number;
  /** A child that does not answer a request for this time is killed; one that gets no processor, after ten times of it (H8). */
  readonly answerMsMax: number;
  readonly loadMsMax: number;
  /** Resident memory of a child; by default 512 MiB and four times the model's file. */
  readonly memoryBytesMax?: number | undefined;
  /** How often memory is checked. It can grow between two checks: the machine's own limits still apply. */
  readonly memoryEveryMs: number;
};

export const hostLimits: HostLimits = {
  inFlightPicturesMax: 1_024,
  inFlightBytesMax: 64 << 20,
  answerMsMax: 20_000,
  loadMsMax: 60_000,
  memoryEveryMs: 250,
};

/** 33 megapixels: 8K video. */
export const PIXELS_MAX = 7_680 * 4_320;
const PICTURES_PER_REQUEST_MAX = 0xffff;
/** Copying so little is cheaper than writing it in pieces. */
const JOINED_BYTES_MAX = 64 << 10;
const CLOSE_MS_MAX = 5_000;
/** H8. Between two looks at an overdue child, and how many times `answerMsMax` it is waited for. */
const LOOK_MS = 250;
const STARVED_FACTOR = 10;
const STDERR_TAIL_LENGTH = 2_000;
const MEMORY_BYTES_BASE = 512 << 20;

export type ExitCode = "model-host-exited" | "model-memory-exceeded";

/** A model's process has exited, or could not be started. */
export class ModelHostExited extends Failure {
  /** It crashed or exited by itself, which it would do again. Otherwise the machine may be at fault: SIGKILL is how Linux ends a
   * process when memory is short, and a busy machine starts none, or has no answer in time. */
  readonly isOwnFault: boolean;

  constructor(packageDir: string, how: string, isOwnFault: boolean, code: ExitCode = "model-host-exited") {
    super(code, "retry", `the process of model ${packageDir} ${how}`);
    this.isOwnFault = isOwnFault;
  }
}

// From source as from the build, the child is the built script: plain JavaScript, outside any test's realm.
const CHILD = fileURLToPath(new URL("../dist/child.js", import.meta.url));

/** Pictures are garbage at once and a device's memory is small: a small heap, and one malloc arena per decoding thread.
 * 110 MB after ten thousand frames instead of 200; the time per frame is the same. */
const CHILD_FLAGS = [
  "--max-semi-space-size=1",
  "--max-old-space-size=96",
  "--optimize-for-size",
  // A megabyte is collected at once; a helper on the background's core would make a frame wait for its turn there.
  "--no-parallel-scavenge",
  ...exitFlags,
];

const QUIET = { ORT_DISABLE_TELEMETRY: "1" };

/** What a batch needs for its layers is returned to the kernel when it is freed. By default glibc soon keeps blocks of up to 32 MiB on its heap,
 * where a small block above them keeps them resident: a model of 8 MB grew to 550 MB within thousands of batches, and was ended. */
const RELEASES = { MALLOC_MMAP_THRESHOLD_: String(4 << 20) };

/** Throws ModelHostExited. */
export function startChild(packageDir: string, { threads, backgroundCore = "", realTime }: LoadOptions): ChildProcess {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const own = [CHILD, backgroundCore, JSON.stringify(realTime ?? null)];
  const [program = "", ...args] = [...diesWithHost(), process.execPath, ...CHILD_FLAGS, ...own];
  const failed = (why: string) => new ModelHostExited(packageDir, `could not be started: ${why}`, false);
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      cwd: packageDir,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      env: { ...env, ...QUIET, ...RELEASES, MALLOC_ARENA_MAX: String(threads), UV_THREADPOOL_SIZE: String(threads) },
    });
  } catch (error) {
    throw failed(reasonOf(error));
  }
  if (child.stdio !== undefined) return child;
  // A child without pipes has no error handler yet.
  child.once("error", () => undefined);
  throw failed("too many files are open");
}

/** The file is read whole, ONNX Runtime makes its own of it, and its optimiser a third for a while. */
function memoryBytesMaxOf({ manifest }: ModelPackage): number {
  return MEMORY_BYTES_BASE + 4 * (manifest.files[packageFiles.model]?.bytes ?? 0);
}

function endOf(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === "SIGXCPU") return "computed for longer without a rest than a process ahead of its host may: SIGXCPU";
  return signal === null ? `ended with ${code}` : `was ended by ${signal}`;
}

const mib = (bytes: number): number => Math.floor(bytes / 2 ** 20);

type Pending = {
  readonly pictures: number;
  readonly bytes: number;
  resolve(results: readonly InferenceResult[]): void;
  reject(error: Failure): void;
};

export class ChildModel implements LoadedModel {
  readonly digest;
  readonly manifest;
  readonly labels;
  readonly temperature;
  readonly pid: number;
  readonly exited: Promise<number | null>;
  readonly #pkg: ModelPackage;
  readonly #child: ChildProcess;
  readonly #pipe: Socket;
  readonly #limits: HostLimits;
  readonly #pending = new Map<number, Pending>();
  #inFlightPictures = 0;
  #inFlightBytes = 0;
  #nextId = 1;
  notRaised: string | null = null;
  #gone: Failure | null = null;
  #isClosing = false;
  #stderrTail = "";
  #watchdog: NodeJS.Timeout | null = null;
  #answers = 0;
  #tooLarge = "";
  #onLoaded: ((refusal: Failure | null) => void) | null = null;
  #init: ChildInit | null = null;

  constructor(pkg: ModelPackage, child: ChildProcess, limits: HostLimits) {
    this.#pkg = pkg;
    this.#child = child;
    this.#limits = limits;
    this.digest = pkg.digest;
    this.manifest = pkg.manifest;
    this.labels = pkg.labels;
    this.temperature = pkg.calibration.temperature;
    this.pid = child.pid ?? -1;
    this.#pipe = child.stdio[3] as Socket;
    const reader = new MessageReader((kind, body) => this.#receive(kind, body));
    this.#pipe.on("data", (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch {
        child.kill("SIGKILL");
      }
    });
    this.#pipe.on("error", () => {}); // The exit is reported instead.
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderrTail = (this.#stderrTail + chunk.toString()).slice(-STDERR_TAIL_LENGTH);
    });
    const memory = setInterval(() => this.#checkMemory(), limits.memoryEveryMs);
    memory.unref();
    this.exited = new Promise((resolve) => {
      child.once("error", (error) => {
        clearInterval(memory);
        this.#end(`could not be started: ${error.message}`, false);
        resolve(null);
      });
      child.once("close", (code, signal) => {
        clearInterval(memory);
        if (this.#tooLarge !== "") this.#end(this.#tooLarge, true, "model-memory-exceeded");
        else this.#end(endOf(code, signal), signal !== "SIGKILL");
        resolve(code);
      });
    });
  }

  async start(init: ChildInit): Promise<void> {
    this.#init = init;
    await this.#begin(encodeJson(messageKinds.init, init));
  }

  async prepareBy(preprocessing: Preprocessing): Promise<void> {
    invariant(this.#init !== null, "a model is loaded before its preprocessing is changed");
    await this.start({ ...this.#init, preprocessing });
  }

  /** Without a model: its answers are the input tensors in place of logits. */
  async startPreparing(init: PrepareInit): Promise<void> {
    await this.#begin(encodeJson(messageKinds.prepare, init));
  }

  async #begin(message: Buffer): Promise<void> {
    const { dir } = this.#pkg;
    const refusal = await new Promise<Failure | null>((resolve) => {
      const timer = setTimeout(() => {
        resolve(new ModelHostExited(dir, `gave no answer in ${this.#limits.loadMsMax} ms`, false));
      }, this.#limits.loadMsMax);
      this.#onLoaded = (outcome) => {
        clearTimeout(timer);
        resolve(outcome);
      };
      if (this.#gone !== null) this.#onLoaded(this.#gone);
      else this.#pipe.write(message);
    });
    if (refusal === null) return;
    this.#child.kill("SIGKILL");
    await this.exited;
    throw refusal;
  }

  async infer(jpeg: Uint8Array, want: Partial<InferenceWant> = {}): Promise<InferenceResult> {
    const [result] = await this.inferBatch([jpeg], want);
    return result as InferenceResult;
  }

  inferBatch(jpegs: readonly Uint8Array[], want: Partial<InferenceWant> = {}): Promise<readonly InferenceResult[]> {
    return this.#request(messageKinds.infer, jpegs, want);
  }

  inferTensors(tensors: readonly Float32Array[]): Promise<readonly InferenceResult[]> {
    const bytes = tensors.map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
    return this.#request(messageKinds.inferTensors, bytes, {});
  }

  #request(
    kind: number,
    jpegs: readonly Uint8Array[],
    want: Partial<InferenceWant>,
  ): Promise<readonly InferenceResult[]> {
    if (this.#gone !== null) return Promise.reject(this.#gone);
    if (this.#isClosing) return Promise.reject(this.#exitedFailure("is closing", false));
    if (jpegs.length === 0) return Promise.resolve([]);
    let bytes = 0;
    for (const jpeg of jpegs) bytes += jpeg.length;
    if (
      this.#inFlightPictures + jpegs.length > Math.min(this.#limits.inFlightPicturesMax, PICTURES_PER_REQUEST_MAX) ||
      this.#inFlightBytes + bytes > this.#limits.inFlightBytesMax
    ) {
      const message = `${this.#inFlightPictures} pictures of ${this.#inFlightBytes} bytes are already with the model`;
      return Promise.resolve(jpegs.map(() => ({ ok: false, code: "model-busy", message })));
    }
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId = id === 0xffffffff ? 1 : id + 1;
      this.#pending.set(id, { pictures: jpegs.length, bytes, resolve, reject });
      this.#inFlightPictures += jpegs.length;
      this.#inFlightBytes += bytes;
      if (this.#watchdog === null) this.#watch();
      const head = encodeInferHead(id, jpegs, want, kind);
      if (bytes <= JOINED_BYTES_MAX) {
        this.#pipe.write(Buffer.concat([head, ...jpegs]));
        return;
      }
      this.#pipe.cork();
      this.#pipe.write(head);
      for (const jpeg of jpegs) if (jpeg.length > 0) this.#pipe.write(jpeg);
      this.#pipe.uncork();
    });
  }

  raise(realTime: RealTime): void {
    if (this.#gone === null && !this.#isClosing) this.#pipe.write(encodeJson(messageKinds.raise, realTime));
  }

  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#pipe.end();
    }
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), CLOSE_MS_MAX);
    await this.exited;
    clearTimeout(timer);
  }

  #receive(kind: number, body: Buffer): void {
    if (kind === messageKinds.answers) {
      const { id, results } = decodeAnswers(body);
      const pending = this.#pending.get(id);
      if (pending?.pictures !== results.length) throw new RangeError(`${results.length} answers to request ${id}`);
      this.#pending.delete(id);
      this.#answers += 1;
      this.#inFlightPictures -= pending.pictures;
      this.#inFlightBytes -= pending.bytes;
      if (this.#pending.size === 0) this.#unwatch();
      else this.#watchdog?.refresh();
      pending.resolve(results);
    } else if (kind === messageKinds.ready) {
      this.notRaised = (decodeJson(body) as ChildReady).notRaised ?? null;
      this.#onLoaded?.(null);
    } else if (kind === messageKinds.refused) {
      const { code, message } = decodeJson(body) as ChildRefusal;
      this.#onLoaded?.(new Failure(code, "give-up", message));
    }
  }

  #watch(): void {
    this.#watchdog = setTimeout(() => this.#overdue(null, performance.now()), this.#limits.answerMsMax);
    this.#watchdog.unref();
  }

  /** H8. `before`: of the last look. */
  #overdue(before: Progress | null, since: number): void {
    const { answerMsMax } = this.#limits;
    const answers = this.#answers;
    // Timers come before the pipe in a turn: answers that wait there are read first.
    setImmediate(() => {
      if (this.#gone !== null || this.#answers !== answers) return;
      const now = progressOf(this.pid, performance.now());
      const isPatient = performance.now() - since < (STARVED_FACTOR - 1) * answerMsMax;
      if (!isPatient || !waitsForItsTurn(before, now)) this.#child.kill("SIGKILL");
      else this.#look(() => this.#overdue(now, since));
    });
  }

  /** An answer meanwhile starts the whole wait again. */
  #look(overdue: () => void): void {
    const answers = this.#answers;
    setTimeout(() => {
      if (this.#answers === answers) overdue();
    }, LOOK_MS).unref();
  }

  #unwatch(): void {
    if (this.#watchdog !== null) clearTimeout(this.#watchdog);
    this.#watchdog = null;
  }

  /** H6. */
  #checkMemory(): void {
    const max = this.#limits.memoryBytesMax ?? memoryBytesMaxOf(this.#pkg);
    const bytes = residentBytesOf(this.pid);
    if (bytes <= max || this.#tooLarge !== "") return;
    this.#tooLarge = `was ended: it held ${mib(bytes)} MiB of memory, and may hold ${mib(max)}`;
    this.#child.kill("SIGKILL");
  }

  #end(how: string, isOwnFault: boolean, exitCode?: ExitCode): void {
    if (this.#gone !== null) return;
    this.#gone = this.#exitedFailure(how, isOwnFault, exitCode);
    this.#unwatch();
    this.#onLoaded?.(this.#gone);
    for (const { reject } of this.#pending.values()) reject(this.#gone);
    this.#pending.clear();
    this.#inFlightPictures = 0;
    this.#inFlightBytes = 0;
  }

  #exitedFailure(how: string, isOwnFault: boolean, code?: ExitCode): Failure {
    const lastWords = this.#stderrTail === "" ? "" : `; its last words: ${this.#stderrTail.trim()}`;
    return new ModelHostExited(this.#pkg.dir, `${how}${lastWords}`, isOwnFault, code);
  }
}
