/** A process of `bench edge`: runs blocks of frames on request, back to back, and reports the time of each. */
import { FramesFile } from "./frames-file.ts";

export type Block = {
  readonly latenciesMs: readonly number[];
  /** Frames finished, and in how long: committed ones in the agent's lane, until their last commit. */
  readonly done: number;
  readonly doneMs: number;
};
export type ToLane = { readonly kind: "run"; readonly from: number; readonly frames: number };
export type FromLane =
  | { readonly kind: "ready"; readonly modelPid: number | null }
  | { readonly kind: "block"; readonly block: Block };

/** What runs in a lane. */
export interface Work {
  readonly modelPid: number | null;
  /** Resolves when the frame is answered. */
  frame(jpeg: Buffer): Promise<void>;
  /** Frames finished since the start, and when the last of them was (`performance.now()`). */
  done(): Promise<{ readonly frames: number; readonly atMs: number }>;
  stop(): Promise<void>;
}

const [name, model = "", file = "", dataDir = ""] = process.argv.slice(2);
const frames = new FramesFile(file);
const work = await start();
const reply = (message: FromLane) => process.send?.(message);

process.on("message", async (order: ToLane) => reply({ kind: "block", block: await block(order.from, order.frames) }));
process.once("disconnect", () => work.stop().then(() => process.exit(0)));
reply({ kind: "ready", modelPid: work.modelPid });

async function block(from: number, count: number): Promise<Block> {
  const latenciesMs: number[] = [];
  const doneBefore = await work.done();
  const startMs = performance.now();
  for (let i = 0; i < count; i++) {
    const jpeg = frames.frame((from + i) % frames.count);
    const capturedMs = performance.now();
    await work.frame(jpeg);
    latenciesMs.push(performance.now() - capturedMs);
  }
  const doneAfter = await work.done();
  return { latenciesMs, done: doneAfter.frames - doneBefore.frames, doneMs: doneAfter.atMs - startMs };
}

async function start(): Promise<Work> {
  if (name === "agent") return (await import("./agent-work.ts")).startAgentWork(model, dataDir);
  if (name === "child") return (await import("./child-work.ts")).startChildWork(model);
  return (await import("./baseline-work.ts")).startBaselineWork(model);
}
