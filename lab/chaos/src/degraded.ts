/**
 * The hardware of some devices of a site grows hot: their frames get cloud answers within their own deadline, the others keep what they had,
 * and all of it ends when it is cool again. Beside it, as a control, a router that pays such frames from the fleet's budget.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FinalAnswer } from "@tributary/contracts";
import { KafkaReader } from "@tributary/kafka";
import { litePackage, marksOf, replay, type Stack, samples, startStack } from "@tributary/stack";
import { percent, quantilesOf } from "@tributary/testing";
import { check, type Drill, type Findings } from "./scenario.ts";

const DEVICES = 40;
const HOT = 8;
const FPS = 1;
/** Light devices of one process take turns on one model. */
const DEADLINE_MS = 3_000;
const FALLBACK_DEADLINE_MS = 1_000;
/** Of a device. All of them together stay within the fleet's tenth. */
const FALLBACK_PER_SECOND = 0.4;
/** About what all devices want without FALLBACK. */
const FLEET_SHARE_MAX = 0.24;
/** Below FULL for so long, a device counts as degraded. */
const DEGRADED_MS = 10_000;
const SETTLE_MS = 15_000;
/** Answers that are still on their way. */
const ANSWERS_MS = 4_000;
const [HOT_CELSIUS, COOL_CELSIUS] = [82, 50];
/** What the others may lose, as shares of their wanted frames, and of their latency. */
const SHARE_LOST_MAX = 0.02;
const LATENCY_GROWN_MAX = { p50: 1.25, p99: 2 };
/** A frame that was on its way as a device cooled has no answer. */
const ANSWERED_MIN = 0.98;

export const degraded: Drill = {
  name: "degraded",
  summary: `${HOT} of ${DEVICES} devices grow hot: cloud answers for them, nothing lost for the others, recovery`,
  details: `${DEVICES} light devices at ${FPS} frames/s. ${HOT} of them are heated to ${HOT_CELSIUS} C for a while, and cooled again. Compared before, meanwhile and
after: cloud answers and latencies of the hot ones' FALLBACK frames, and what the other devices wanted and got. The control is a router that pays
FALLBACK frames from the fleet's budget.`,
  options: [{ name: "seconds", about: "before, hot, and after", value: 60 }],
  run: async (settings) => {
    const own = await story(settings, false);
    const control = await story(settings, true);
    return [ownFindings(own), controlFindings(own, control)];
  },
};

type Phase = "before" | "hot" | "after";

async function story(
  { dir, log, options: { seconds = 60 } }: Parameters<Drill["run"]>[0],
  isControl: boolean,
): Promise<Story> {
  const name = isControl ? "control" : "own-budget";
  const hot = Array.from({ length: HOT }, (_, i) => `light-${String(i + 1).padStart(3, "0")}`);
  const stack = await startStack({
    dir: join(dir, name),
    supervised: true,
    ...(isControl && { sabotage: { router: "fallback-from-fleet-budget" } }),
    services: { router: { budget: { fleetShareMax: FLEET_SHARE_MAX, burstMs: 5_000 } } },
    light: {
      devices: DEVICES,
      processes: 2,
      fps: FPS,
      photos: samples,
      batchWaitMs: 1_000,
      windowMs: 10_000,
      driving: { deadlineMs: DEADLINE_MS, lite: litePackage, ladder: QUICK },
    },
    onEvent: log,
  });
  const reader = new KafkaReader({ brokers: stack.brokers, prefix: stack.prefix, clientId: `chaos-${name}` });
  try {
    await sleep(SETTLE_MS);
    const phase = async (which: Phase): Promise<Phased> => {
      log(`${name}: ${which}`);
      const from = await marksOf(reader);
      await sleep(seconds * 1_000);
      await sleep(ANSWERS_MS);
      return phasedOf(reader, from, new Set(hot));
    };
    const before = await phase("before");
    await heat(stack, hot, HOT_CELSIUS);
    await sleep(DEGRADED_MS + SETTLE_MS);
    const during = await phase("hot");
    const levels = await levelsOf(stack);
    await heat(stack, hot, COOL_CELSIUS);
    await sleep(3 * SETTLE_MS);
    const after = await phase("after");
    const recovered = await levelsOf(stack);
    return { phases: { before, hot: during, after }, seen: { hot, levels, recovered } };
  } finally {
    await reader.close();
    await stack.stop();
  }
}

/** Of the ladder: a drill of minutes does not wait for its usual times. */
const QUICK = {
  ...{ dwellMs: 2_000, recoverMs: 5_000, probeEveryMs: 1_500, heat: { coolMs: 3_000 } },
  fallback: { perSecondMax: FALLBACK_PER_SECOND },
};

async function heat(stack: Stack, deviceIds: readonly string[], celsius: number): Promise<void> {
  for (const { deviceIds: own, url } of stack.light) {
    const devices = deviceIds.filter((id) => own.includes(id));
    const response = await fetch(`${url}/v1/celsius`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ devices, celsius }),
    });
    if (!response.ok) throw new Error(await response.text());
  }
}

type LightStatus = {
  readonly devices: readonly { readonly deviceId: string; readonly driving: { readonly level: string } | null }[];
};

async function levelsOf(stack: Stack): Promise<ReadonlyMap<string, string>> {
  const all = await Promise.all(
    stack.light.map(async ({ url }) => (await (await fetch(`${url}/v1/status`)).json()) as LightStatus),
  );
  return new Map(
    all.flatMap(({ devices }) => devices.map(({ deviceId, driving }) => [deviceId, driving?.level ?? ""])),
  );
}

type Phased = {
  /** FALLBACK frames of the hot devices. */
  readonly fallback: Group;
  /** Frames that the other devices wanted an answer of the cloud for. */
  readonly others: Group;
  /** Of all frames, those with FALLBACK of devices that are not hot. */
  readonly strange: number;
};
type Group = {
  readonly wanted: number;
  readonly answered: number;
  readonly settledBy: Readonly<Record<string, number>>;
  readonly p50: number;
  readonly p99: number;
};

async function phasedOf(
  reader: KafkaReader,
  from: Awaited<ReturnType<typeof marksOf>>,
  hot: ReadonlySet<string>,
): Promise<Phased> {
  const fallback: FinalAnswer[] = [];
  const others: FinalAnswer[] = [];
  let strange = 0;
  const records = {
    classifications: ({
      deviceId,
      answers,
    }: {
      readonly deviceId: string;
      readonly answers: readonly FinalAnswer[];
    }) => {
      for (const answer of answers) {
        if (answer.reason === "FALLBACK") {
          if (hot.has(deviceId)) fallback.push(answer);
          else strange += 1;
        } else if (
          !hot.has(deviceId) &&
          ["AMBIGUOUS", "PRIORITY"].includes(answer.reason) &&
          answer.settledBy !== "DEVICE_DROPPED"
        ) {
          others.push(answer);
        }
      }
    },
    predictions: () => undefined,
    frame: () => undefined,
    unreadable: () => undefined,
  };
  await replay(reader, records, { from, until: await marksOf(reader) });
  return { fallback: groupOf(fallback), others: groupOf(others), strange };
}

function groupOf(answers: readonly FinalAnswer[]): Group {
  const cloud = answers.filter(({ source }) => source === "CLOUD");
  const [p50, p99] = quantilesOf(
    cloud.map(({ latencyMs }) => latencyMs),
    0.5,
    0.99,
  );
  const settledBy: Record<string, number> = {};
  for (const answer of answers) settledBy[answer.settledBy] = (settledBy[answer.settledBy] ?? 0) + 1;
  return { wanted: answers.length, answered: cloud.length, settledBy, p50, p99 };
}

type Seen = {
  readonly hot: readonly string[];
  readonly levels: ReadonlyMap<string, string>;
  readonly recovered: ReadonlyMap<string, string>;
};

type Phases = Readonly<Record<Phase, Phased>>;

const shareOf = ({ answered, wanted }: Group) => (wanted === 0 ? 1 : answered / wanted);

type Story = { readonly phases: Phases; readonly seen: Seen };

const ownFindings = ({ phases, seen }: Story): Findings => ({
  title: `${HOT} of ${DEVICES} devices are hot`,
  checks: [...fallbackChecks(phases), ...othersChecks(phases), ...levelChecks(seen)],
  figures: figuresOf(phases),
});

function controlFindings(own: Story, control: Story): Findings {
  const [kept, left] = [own, control].map(({ phases }) => shareOf(phases.hot.others)) as [number, number];
  const name = "control: paid from the fleet's budget, they take answers from the others";
  return {
    title: "Control: a router without a budget of its own for them",
    checks: [check(name, kept - left > SHARE_LOST_MAX, `${percent(kept)} with it, ${percent(left)} without`)],
    figures: figuresOf(control.phases),
  };
}

function fallbackChecks({ hot: { fallback } }: Phases): Findings["checks"] {
  const { answered, wanted, p99 } = fallback;
  return [
    check(
      "their FALLBACK frames get answers of the cloud",
      wanted > 0 && shareOf(fallback) >= ANSWERED_MIN,
      `${answered} of ${wanted}`,
    ),
    check(
      `within ${FALLBACK_DEADLINE_MS} ms at the 99th percentile`,
      p99 <= FALLBACK_DEADLINE_MS,
      `${Math.round(p99)} ms`,
    ),
  ];
}

function othersChecks({ before, hot, after }: Phases): Findings["checks"] {
  const [was, is] = [shareOf(before.others), shareOf(hot.others)];
  const asFast = (at: "p50" | "p99") => {
    const [first, meanwhile, last] = [before, hot, after].map(({ others }) => Math.round(others[at])) as [
      number,
      number,
      number,
    ];
    const holds = meanwhile <= LATENCY_GROWN_MAX[at] * Math.max(first, last);
    return check(`and as fast, ${at}`, holds, `${first}, ${meanwhile}, ${last} ms`);
  };
  return [
    check("the others' cloud answers are as before", was - is <= SHARE_LOST_MAX, `${percent(was)} and ${percent(is)}`),
    asFast("p50"),
    asFast("p99"),
    check(
      "nobody else sends FALLBACK, and nobody does afterwards",
      before.strange + hot.strange + after.strange + after.fallback.wanted === 0,
      `${after.fallback.wanted} afterwards`,
    ),
  ];
}

function levelChecks({ hot, levels, recovered }: Seen): Findings["checks"] {
  const below = [...recovered.values()].filter((level) => level !== "FULL").length;
  return [
    check(
      `the ${HOT} hot devices are at LITE, the others at FULL`,
      [...levels].every(([id, level]) => level === (hot.includes(id) ? "LITE" : "FULL")),
      [...levels.values()].join(" "),
    ),
    check("all devices are at FULL again", below === 0, `${below} below`),
  ];
}

const figuresOf = (phases: Phases): Findings["figures"] =>
  Object.fromEntries(
    Object.entries(phases).flatMap(([phase, { fallback, others }]) =>
      [["FALLBACK", fallback] as const, ["others", others] as const].flatMap(([who, group]) => [
        [`${phase}: ${who} wanted`, group.wanted],
        [`${phase}: ${who} answered by the cloud`, group.answered],
        ...Object.entries(group.settledBy).map(([by, count]) => [`${phase}: ${who} settled by ${by}`, count] as const),
        [`${phase}: ${who} p50 ms`, Math.round(group.p50)],
        [`${phase}: ${who} p99 ms`, Math.round(group.p99)],
      ]),
    ),
  );
