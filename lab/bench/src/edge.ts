/** `bench edge`: the agent's overhead over the bare work on a frame.
 *
 * Both lanes run in one run, in turns of a block each, so that whatever else the machine does hits both. The agent's lane is
 * the agent itself, with its outbox and its model's child; only the camera is the bench's, so that the next frame is captured
 * when the last one is answered. The lanes warm up until V8 has compiled what they use, which takes longer with more code: a
 * device runs for months, and compiles only in its first half minute. Memory is counted as if the agent and its child were
 * alone: pages they share with this bench are theirs. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { quantilesOf, sampleFrames } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport, Gate } from "./bench.ts";
import { stringify } from "./edge/frames-file.ts";
import type { Block, FromLane, ToLane } from "./edge/lane.ts";
import { megabytesAlone } from "./edge/memory.ts";
import { type ResizeCost, resizeCosts } from "./edge/resize-cost.ts";

const RATIO_MAX = 1.3;
const MEGABYTES_MAX = 180;
const MODEL = fileURLToPath(new URL("../../../models/edge-resnet8/", import.meta.url));
/** Frames that each lane works through before its first block counts. */
const WARM_UP_FRAMES = 15_000;

/** As in the agent's systemd unit. */
const MALLOC = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_MMAP_THRESHOLD_: "16384",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_TOP_PAD_: "0",
};

const size = (isLong: boolean) =>
  isLong ? { photos: 2_000, blocks: 40, blockFrames: 1_000 } : { photos: 500, blocks: 9, blockFrames: 800 };

export const edge: Bench = {
  name: "edge",
  summary: "from capture to local answer, beside the bare decode, resize and run",
  details: `Two lanes work on the same photos, block by block in turns, batch 1, one thread for decoding and one for the model:
  baseline  decode, resize, normalise and session.run, in one process, nothing else
  agent     the real agent with its model's child: infer, decide, answer, and commit to the outbox on its worker
  child     with --long: the model's child alone, to see where time goes
With --beside a program that never sleeps runs beside both lanes, with niceness 10, where Linux puts it.
Frames follow each other at once: the next is captured when the last one is answered.
Before them, in the bench's own process, decoding and resizing as Pillow does, bit for bit, beside libvips' own.
Gates: p50 and p99 at most ${RATIO_MAX} x the baseline's; committed frames a second at least the baseline's / ${RATIO_MAX};
agent and child at most ${MEGABYTES_MAX} MB, counted as if they were alone on the machine; Pillow's resize at the cameras' size
at most ${RATIO_MAX} x libvips'.`,
  run,
};

class Lane {
  readonly #child: ChildProcess;
  constructor(name: "agent" | "baseline" | "child", args: readonly string[]) {
    const entry = fileURLToPath(new URL("./edge/lane.js", import.meta.url));
    // The same threads as the model's child has.
    const env = { ...process.env, ...MALLOC, UV_THREADPOOL_SIZE: "1" };
    this.#child = fork(entry, [name, ...args], { stdio: ["ignore", "ignore", "inherit", "ipc"], env });
  }
  get pid(): number {
    return this.#child.pid ?? -1;
  }
  ready(): Promise<FromLane> {
    return this.#next();
  }
  async run(from: number, frames: number): Promise<Block> {
    this.#child.send({ kind: "run", from, frames } satisfies ToLane);
    const answer = await this.#next();
    if (answer.kind !== "block") throw new Error(`a lane answered ${answer.kind}`);
    return answer.block;
  }
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.disconnect();
    await exited;
  }
  #next(): Promise<FromLane> {
    return new Promise((resolve, reject) => {
      const onExit = (code: number | null) => reject(new Error(`a lane ended with ${code}`));
      this.#child.once("exit", onExit);
      this.#child.once("message", (message) => {
        this.#child.off("exit", onExit);
        resolve(message as FromLane);
      });
    });
  }
}

/** A neighbour that wants a core all the time, politely. */
function startNeighbour(): ChildProcess {
  return spawn("nice", ["-n", "10", process.execPath, "-e", "for (;;);"], { stdio: "ignore" });
}

async function run({ isLong, flags, progress }: BenchOptions): Promise<BenchReport> {
  const { photos, blocks, blockFrames } = size(isLong);
  const load = loadavg()[0] ?? Number.NaN;
  const folder = await mkdtemp(join(tmpdir(), "tributary-bench-edge-"));
  progress("decoding and resizing as Pillow does, and as libvips does");
  const resizes = await resizeCosts(isLong);
  const lanes: Lane[] = [];
  let neighbour: ChildProcess | undefined;
  try {
    progress(`${photos} photos become JPEGs, as the sample camera makes them`);
    const file = join(folder, "frames");
    await writeFile(file, stringify((await sampleFrames(photos)).map(({ jpeg }) => jpeg)));
    const baseline = new Lane("baseline", [MODEL, file]);
    lanes.push(baseline);
    await baseline.ready();
    const agent = new Lane("agent", [MODEL, file, join(folder, "agent")]);
    lanes.push(agent);
    const ready = await agent.ready();
    const child = isLong ? new Lane("child", [MODEL, file]) : null;
    if (child !== null) lanes.push(child);
    await child?.ready();
    const modelPid = ready.kind === "ready" ? (ready.modelPid ?? -1) : -1;
    if (flags.beside === true) neighbour = startNeighbour(); // Through the warm-up, too: it slows both lanes.
    progress(`warm-up, ${WARM_UP_FRAMES} frames a lane`);
    for (const lane of lanes) await lane.run(0, WARM_UP_FRAMES);

    const measured = new Map<Lane, Block[]>(lanes.map((lane) => [lane, []]));
    const blocksOf = (lane: Lane) => measured.get(lane) ?? [];
    let megabytes = 0;
    for (let i = 0; i < blocks; i++) {
      // The lanes take turns to begin a round, so that none always follows the same other.
      for (const [k] of lanes.entries()) {
        const lane = lanes[(i + k) % lanes.length] as Lane;
        blocksOf(lane).push(await lane.run(i * blockFrames, blockFrames));
      }
      megabytes = Math.max(megabytes, megabytesAlone([agent.pid, modelPid]));
      const [bare, whole] = [baseline, agent].map((lane) => shortly(blocksOf(lane).at(-1)));
      progress(`block ${i + 1} of ${blocks}: ${bare} bare, ${whole} agent`);
    }
    return judge(blocksOf(baseline), blocksOf(agent), child === null ? [] : blocksOf(child), megabytes, {
      resizes,
      load,
      isBeside: flags.beside === true,
    });
  } finally {
    neighbour?.kill("SIGKILL");
    await Promise.all(lanes.map((lane) => lane.stop()));
    await rm(folder, { recursive: true, force: true });
  }
}

type Circumstances = { readonly resizes: readonly ResizeCost[]; readonly load: number; readonly isBeside: boolean };

function judge(
  bare: readonly Block[],
  whole: readonly Block[],
  child: readonly Block[],
  megabytes: number,
  { resizes, load, isBeside }: Circumstances,
): BenchReport {
  const [a, b, c] = [summaryOf(bare), summaryOf(whole), summaryOf(child)];
  const ratio = { p50: b.p50 / a.p50, p99: b.p99 / a.p99, rate: b.framesPerSecond / a.framesPerSecond };
  const ofCameras = Math.max(...resizes.slice(0, 2).map((one) => one.ratio));
  const row = (name: string, s: typeof a) => [name, ms(s.p50), ms(s.p90), ms(s.p99), s.framesPerSecond.toFixed(0)];
  const gate = (name: string, value: number, passed: boolean): Gate => ({ name, passed, measured: value.toFixed(3) });
  return {
    tables: [
      {
        title: `One frame, ms (${a.frames} frames a lane${isBeside ? ", beside a niced program that keeps a core busy" : ""})`,
        columns: ["lane", "p50", "p90", "p99", "frames/s"],
        rows: [
          row("decode, resize, session.run", a),
          ...(child.length > 0 ? [row("the model's child, request to response", c)] : []),
          row("agent, capture to local answer", b),
          ["ratio", ratio.p50.toFixed(3), (b.p90 / a.p90).toFixed(3), ratio.p99.toFixed(3), ratio.rate.toFixed(3)],
        ],
      },
      {
        title: "Decoding and resizing one JPEG, ms (median)",
        columns: ["from, to, kernel", "as Pillow, bit for bit", "by libvips", "ratio"],
        rows: resizes.map((one) => [one.name, ms(one.pillowMs), ms(one.libvipsMs), one.ratio.toFixed(2)]),
      },
    ],
    notes: [
      `The agent's rate counts frames committed to its outbox. Agent and child took at most ${megabytes.toFixed(0)} MB.`,
      // The agent's frame crosses processes: when others hold the cores, it waits more often than the bare work does.
      `Load of the machine at the start: ${load.toFixed(1)} on ${availableParallelism()} cores.`,
    ],
    gates: [
      gate(`p50 at most ${RATIO_MAX} x the baseline's`, ratio.p50, ratio.p50 <= RATIO_MAX),
      gate(`p99 at most ${RATIO_MAX} x the baseline's`, ratio.p99, ratio.p99 <= RATIO_MAX),
      gate(`committed frames/s at least 1 / ${RATIO_MAX} of the baseline's`, ratio.rate, ratio.rate >= 1 / RATIO_MAX),
      {
        name: `agent and child at most ${MEGABYTES_MAX} MB (PSS, alone)`,
        passed: megabytes > 0 && megabytes <= MEGABYTES_MAX,
        measured: `${megabytes.toFixed(0)} MB`,
      },
      gate(`as Pillow, at the cameras' size: at most ${RATIO_MAX} x libvips'`, ofCameras, ofCameras <= RATIO_MAX),
    ],
    figures: {
      baseline: a,
      agent: b,
      ...(child.length > 0 ? { child: c } : {}),
      ratio,
      megabytesMax: megabytes,
      resizes,
      load,
      isBeside,
    },
  };
}

function summaryOf(blocks: readonly Block[]) {
  const latencies = blocks.flatMap((block) => block.latenciesMs);
  const [p50, p90, p99] = quantilesOf(latencies, 0.5, 0.9, 0.99);
  const seconds = blocks.reduce((sum, block) => sum + block.doneMs, 0) / 1_000;
  return {
    frames: latencies.length,
    p50,
    p90,
    p99,
    framesPerSecond: blocks.reduce((sum, block) => sum + block.done, 0) / seconds,
  };
}

const ms = (value: number): string => value.toFixed(3);
const shortly = (block: Block | undefined): string => `${ms(summaryOf(block ? [block] : []).p50)} ms`;
