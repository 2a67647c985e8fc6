/**
 * Processes that are paused instead of killed, and networks that are cut, for longer than a consumer's session (G1, G2, G12).
 *
 * Two routers and two classifiers; the second of each reaches Kafka through a proxy. One of the four is stopped with SIGSTOP,
 * or the network of the second pair is cut; the group reassigns its partitions; then it continues, with all that it had in
 * memory, in its producer's queue and in its sockets. A separate reader counts the answers. For longer than that: away.ts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { KafkaInspector } from "@tributary/kafka";
import { type Part, type Stack, startStack } from "@tributary/stack";
import { freePort } from "@tributary/testing";
import { controlFindings, missingModules } from "../control.ts";
import { check, type Drill, type DrillSettings, type Findings } from "../scenario.ts";
import { away } from "./away.ts";
import { Load } from "./load.ts";
import { CuttableProxy } from "./proxy.ts";

const PAUSE_S = { min: 12, max: 25 };
const FLOWING_S = 4;
const LAG_S_MAX = 30;
const SILENCE_S_MAX = 60;
/** A paused part answers no probe, and shall live. */
const PROBE = { everyMs: 5_000, timeoutMs: 4_000, failuresMax: 12 };

export const pauses: Drill = {
  name: "pauses",
  summary: "routers and classifiers paused, and their networks cut, for longer than their session timeout",
  details: `In turn: each router and classifier is stopped for ${PAUSE_S.min} to ${PAUSE_S.max} s and continues; the network of the
second pair is cut as long, and its data in flight arrives late, or never. Frames are pending all the time.

With --away the routers are stopped for minutes instead, while devices send what Kafka's disk, which is scaled, cannot hold: what
was acknowledged is answered afterwards, and devices keep the rest until then.`,
  options: [
    { name: "pauses", about: "number of pauses and cuts", value: 6 },
    { name: "partitions", about: "partitions of the topics keyed by device", value: 20 },
    { name: "rate", about: "frames a second; with --away at least", value: 400 },
    { name: "away", about: "instead: minutes that the routers are away", value: 0 },
  ],
  flags: [{ name: "control", about: "with --away: a bridge without the protection: its control, which has to fail" }],
  async run(settings) {
    const { away: minutes = 0 } = settings.options;
    const isControl = settings.flags?.control === true;
    if (minutes === 0 && isControl) throw new Error("--control needs --away: pauses have no control");
    if (minutes === 0) return [await paused(settings)];
    return isControl ? awayControl(settings) : [await away({ minutes, rate: rateOf(settings), ...settings })];
  },
};

const rateOf = ({ options: { rate = 400 } }: DrillSettings): number => rate;

async function awayControl(settings: DrillSettings): Promise<readonly Findings[]> {
  const sabotage = { bridge: "acknowledge-beyond-retention" };
  const missing = missingModules(sabotage);
  const { away: minutes = 0 } = settings.options;
  const found = missing.length > 0 ? [] : [await away({ minutes, rate: rateOf(settings), sabotage, ...settings })];
  return controlFindings("--away", found, missing);
}

type Fault = { readonly what: string; begin(): void; end(): void };

async function paused({ options, dir, log }: DrillSettings): Promise<Findings> {
  const { pauses: count = 6, partitions = 20, rate = 400 } = options;
  const listener = await freePort();
  const proxy = await CuttableProxy.start(listener);
  const stack = await startStack({
    dir,
    supervised: PROBE,
    kafka: { partitions, proxy: { port: listener, advertisedPort: proxy.port } },
    services: { routers: 2, classifiers: 2 },
    onEvent: log,
  });
  const load = new Load({ brokers: stack.brokers, prefix: stack.prefix, partitions, framesPerSecond: rate });
  const inspector = new KafkaInspector({ brokers: stack.brokers, prefix: stack.prefix, clientId: "chaos" });
  const lagsS: number[] = [];
  try {
    await load.start();
    const faults = faultsOf(stack, proxy);
    for (let i = 0; i < count; i++) {
      const fault = faults[i % faults.length] as Fault;
      await seconds(FLOWING_S);
      const lengthS = PAUSE_S.min + ((i * 7) % (PAUSE_S.max - PAUSE_S.min + 1));
      log(`${i + 1} of ${count}: ${fault.what}, ${lengthS} s; ${load.frames} frames, ${load.answered} answered`);
      fault.begin();
      await seconds(lengthS);
      fault.end();
      const endedAtMs = performance.now();
      await seconds(FLOWING_S);
      load.pause();
      await untilNoLag(inspector, endedAtMs);
      lagsS.push((performance.now() - endedAtMs) / 1_000);
      load.resume();
    }
    load.pause();
    await untilAllAnswered(load);
  } finally {
    await load.stop();
    await inspector.close();
    await stack.stop();
    await proxy.close();
  }
  const { frames, sent, unanswered, repeated, contradicting, examples } = load.account();
  const lagMax = Math.max(...lagsS);
  const restarts = [...stack.routers, ...stack.classifiers].reduce((sum, part) => sum + part.restarts, 0);
  return {
    title: `${count} pauses and cuts, ${partitions} partitions, ${rate} frames/s`,
    figures: {
      frames,
      sent,
      unanswered,
      contradicting,
      repeated,
      "longest lag s": Math.round(lagMax * 10) / 10,
      restarts,
    },
    checks: [
      check(
        "every acknowledged frame is answered",
        unanswered === 0,
        `${unanswered} without ${examples.join(" ")}`.trim(),
      ),
      check("no frame has two answers that differ", contradicting === 0, contradicting),
      check(`no lag ${LAG_S_MAX} s after each`, lagMax <= LAG_S_MAX, `${lagMax.toFixed(1)} s at most`),
    ],
  };
}

function faultsOf({ routers, classifiers }: Stack, proxy: CuttableProxy): Fault[] {
  const stopped = (part: Part): Fault => ({
    what: `${part.name} stopped`,
    begin: () => signal(part, "SIGSTOP"),
    end: () => signal(part, "SIGCONT"),
  });
  const cut = (how: "late" | "lost"): Fault => ({
    what: `network of the second pair cut, its bytes arrive ${how === "late" ? "late" : "never"}`,
    begin: () => proxy.cut(),
    end: () => proxy.mend(how),
  });
  const [first, second] = routers;
  const [one, two] = classifiers;
  if (!first || !second || !one || !two) throw new Error("two of each are needed");
  return [stopped(first), cut("late"), stopped(one), cut("lost"), stopped(second), stopped(two)];
}

function signal(part: Part, name: NodeJS.Signals): void {
  if (part.pid !== undefined) process.kill(part.pid, name);
}

async function untilNoLag(inspector: KafkaInspector, endedAtMs: number): Promise<void> {
  const until = endedAtMs + 2 * LAG_S_MAX * 1_000;
  while (performance.now() < until) {
    const groups = await inspector.groups().catch(() => []);
    const lag = groups.flatMap(({ topics }) => topics).reduce((sum, topic) => sum + topic.lag, 0n);
    if (groups.length > 0 && lag === 0n) return;
    await seconds(0.25);
  }
}

async function untilAllAnswered(load: Load): Promise<void> {
  for (let silentS = 0, before = -1; silentS < SILENCE_S_MAX; ) {
    if (load.account().unanswered === 0) break;
    silentS = load.answered === before ? silentS + 1 : 0;
    before = load.answered;
    await seconds(1);
  }
  await seconds(3); // for repeats to show
}

const seconds = (count: number) => sleep(1_000 * count);
