/** A process of `bench edge`: runs blocks of frames when told, back to back, and says how long each took. */
import { readFileSync } from "node:fs";
import { parse } from "./frames-file.ts";

export type Block = {
  readonly latenciesMs: readonly number[];
  readonly wallMs: number;
  /** Frames finished within `wallMs`: committed ones, in the agent's lane. */
  readonly done: number;
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
  /** Frames finished since the start. */
  done(): Promise<number>;
  stop(): Promise<void>;
}

const [name, model = "", file = "", dataDir = ""] = process.argv.slice(2);
const jpegs = parse(readFileSync(file));
const work: Work =
  name === "agent"
    ? await (await import("./agent-work.ts")).startAgentWork(model, dataDir)
    : await (await import("./baseline-work.ts")).startBaselineWork(model);
const tell = (message: FromLane) => process.send?.(message);

process.on("message", async ({ from, frames }: ToLane) => tell({ kind: "block", block: await block(from, frames) }));
process.once("disconnect", () => work.stop().then(() => process.exit(0)));
tell({ kind: "ready", modelPid: work.modelPid });

async function block(from: number, frames: number): Promise<Block> {
  const latenciesMs: number[] = [];
  const doneBefore = await work.done();
  const startMs = performance.now();
  for (let i = 0; i < frames; i++) {
    const capturedMs = performance.now();
    await work.frame(jpegs[(from + i) % jpegs.length] as Buffer);
    latenciesMs.push(performance.now() - capturedMs);
  }
  const wallMs = performance.now() - startMs;
  return { latenciesMs, wallMs, done: (await work.done()) - doneBefore };
}
