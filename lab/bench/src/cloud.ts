/** `bench cloud`: a backend's overhead over calling its server directly, and the call policy in a retry storm.
 *
 * Both lanes of a pair run in one run against the same server with the same frames, call by call in turns, at equal batch:
 * whatever else the machine does hits both. The direct lane does what any caller must (for tensors: decode, resize,
 * normalise) and nothing else, with as many decoding threads. A server that is not the real program is called a stub. */
import { availableParallelism, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { callDefaults, type Outage, type RetryStorm, retryStorm, unguarded } from "@tributary/calls";
import { percent, quantilesOf, sampleFrames } from "@tributary/testing";
import type { Bench, BenchOptions, BenchReport, Gate, Table } from "./bench.ts";
import { type Pair, startPairs } from "./cloud/lanes.ts";

const RATIO_MAX = 1.2;
const RETRY_SHARE_MAX = 0.1;
const MODEL = fileURLToPath(new URL("../../../models/cloud-vgg/", import.meta.url));
const PHOTOS = 200;
const OUTAGES: readonly Outage[] = ["errors", "hangs", "slow", "flapping", "throttled"];

/** Calls of a lane. The warm-up lasts until V8 has compiled what both use: AWS' client alone takes some hundred calls. */
const sizes = (isLong: boolean) => [
  { batch: 1, calls: isLong ? 2_000 : 400, warmUp: 500 },
  { batch: 8, calls: isLong ? 500 : 100, warmUp: 10 },
];

export const cloud: Bench = {
  name: "cloud",
  summary: "each cloud backend beside calling its server directly; retry storms simulated",
  details: `For each backend two lanes call the same server with the same photos, call by call in turns, one at a time:
  direct   a bare client on one kept connection, which checks nothing; for tensors it decodes, resizes and normalises;
           for SageMaker, which takes signed requests only, it is AWS' own client
  backend  the backend object of cloud-classifier, as configured by default
onnx runs the model in a child process. kserve speaks to a real Triton when its test has installed it, else
to a stub. tf-serving and sagemaker speak to stubs of their shape, which run our model; none of those programs is here.
Then the call policy (time limits, retries with a budget, circuit) meets a server that fails for a minute, on a simulated
clock: 50 calls a second wanted, five kinds of outage; beside it, the same without budget and circuit.
Gates: a backend's p50 at most ${RATIO_MAX} x the direct one's, for each batch; retries at most ${100 * RETRY_SHARE_MAX} % of first calls in each storm.`,
  run,
};

type Measured = {
  readonly backend: string;
  readonly server: string;
  readonly batch: number;
  readonly direct: Summary;
  readonly ours: Summary;
  /** Of the p50. */
  readonly ratio: number;
};

async function run({ isLong, progress }: BenchOptions): Promise<BenchReport> {
  const load = loadavg()[0] ?? Number.NaN;
  progress(`${PHOTOS} photos become JPEGs, as the sample camera makes them`);
  const jpegs = (await sampleFrames(PHOTOS)).map(({ jpeg }) => jpeg);
  const pairs = await startPairs(MODEL, progress);
  const measured: Measured[] = [];
  try {
    for (const pair of pairs) {
      for (const size of sizes(isLong)) {
        measured.push(await measure(pair, size, jpegs));
        const { batch, direct, ours, ratio } = measured.at(-1) as Measured;
        progress(
          `${pair.backend}, batch ${batch}: p50 ${ms(direct.p50)} ms direct, ${ms(ours.p50)} ms ours (${ratio.toFixed(3)})`,
        );
      }
    }
  } finally {
    for (const pair of pairs) await pair.close();
  }
  progress("retry storms, simulated");
  const storms = await stormsOf(isLong ? 10 : 3);
  return {
    tables: [callsTable(measured), storms.table],
    gates: [...measured.map(gateOf), ...storms.gates],
    notes: [
      `Calls follow each other, one at a time. Load of the machine at the start: ${load.toFixed(1)} on ${availableParallelism()} cores.`,
      "Stubs only imitate a server's protocol: these rows show our overhead, not how fast a server is.",
    ],
    figures: { calls: measured, storms: storms.figures, load },
  };
}

async function measure(
  { backend, server, ours, direct }: Pair,
  size: ReturnType<typeof sizes>[number],
  jpegs: readonly Buffer[],
): Promise<Measured> {
  const { batch, calls, warmUp } = size;
  const lanes = [direct, ours].map((call) => ({ call, latencies: [] as number[] }));
  for (let i = -warmUp; i < calls; i++) {
    const frames = Array.from({ length: batch }, (_, k) => jpegs[((i + warmUp) * batch + k) % jpegs.length] as Buffer);
    // The lanes take turns to begin, so that none always follows the other.
    for (const lane of i % 2 === 0 ? lanes : lanes.toReversed()) {
      const since = performance.now();
      await lane.call(frames);
      if (i >= 0) lane.latencies.push(performance.now() - since);
    }
  }
  const [a, b] = lanes.map(({ latencies }) => summaryOf(latencies, batch)) as [Summary, Summary];
  return { backend, server, batch, direct: a, ours: b, ratio: b.p50 / a.p50 };
}

type Summary = { readonly calls: number; readonly p50: number; readonly p99: number; readonly framesPerSecond: number };

function summaryOf(latencies: readonly number[], batch: number): Summary {
  const [p50, p99] = quantilesOf(latencies, 0.5, 0.99);
  const totalMs = latencies.reduce((sum, each) => sum + each, 0);
  return { calls: latencies.length, p50, p99, framesPerSecond: (1_000 * batch * latencies.length) / totalMs };
}

const callsTable = (measured: readonly Measured[]): Table => ({
  title: `One call, ms (${measured
    .map(({ ours, batch }) => `${ours.calls} of ${batch}`)
    .slice(0, 2)
    .join(", ")} a lane)`,
  columns: ["backend", "server", "batch", "direct p50", "p99", "frames/s", "backend p50", "p99", "frames/s", "ratio"],
  rows: measured.map(({ backend, server, batch, direct, ours, ratio }) => [
    backend,
    server,
    batch,
    ...[direct, ours].flatMap(({ p50, p99, framesPerSecond }) => [ms(p50), ms(p99), framesPerSecond.toFixed(0)]),
    ratio.toFixed(3),
  ]),
});

const gateOf = ({ backend, batch, ratio }: Measured): Gate => ({
  name: `${backend}, batch ${batch}: p50 at most ${RATIO_MAX} x the direct call's`,
  passed: ratio <= RATIO_MAX,
  measured: ratio.toFixed(3),
});

async function stormsOf(seeds: number) {
  const rows = [];
  const gates: Gate[] = [];
  const figures = [];
  for (const outage of OUTAGES) {
    const runs: RetryStorm[] = [];
    for (let seed = 1; seed <= seeds; seed++) runs.push(await retryStorm({ outage, seed }));
    const wild = await retryStorm({ outage, seed: 1, settings: unguarded(callDefaults) });
    const most = (read: (run: (typeof runs)[number]) => number) => Math.max(...runs.map(read));
    const retryShare = most((run) => run.retryShare);
    const perWanted = most((run) => run.outage.callsPerWanted);
    const recoveredMs = most((run) => run.recoveredAfterMs ?? Number.POSITIVE_INFINITY);
    rows.push([
      outage,
      percent(retryShare),
      perWanted.toFixed(2),
      (recoveredMs / 1_000).toFixed(1),
      most((run) => run.opened),
      percent(wild.retryShare),
      wild.outage.callsPerWanted.toFixed(2),
    ]);
    gates.push({
      name: `${outage}: retries at most ${percent(RETRY_SHARE_MAX)} of first calls`,
      passed: retryShare <= RETRY_SHARE_MAX,
      measured: percent(retryShare),
    });
    figures.push({ outage, runs, unguarded: wild });
  }
  const table: Table = {
    title: `A minute's outage, simulated (the worst of ${seeds} seeds)`,
    columns: [
      "outage",
      "retries",
      "calls per wanted",
      "s to recover",
      "opened",
      "retries without policy",
      "calls per wanted without",
    ],
    rows,
  };
  return { table, gates, figures };
}

const ms = (value: number): string => value.toFixed(2);
