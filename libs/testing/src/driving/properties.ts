/**
 * What the ladder promises, each as a property of a drive that is drawn from a seed. The unit test checks it for some seeds, `npm run bench -- ladder`
 * for 10,000; each has controls, in which one rule is weakened, and which must violate it.
 */
import { isDegraded, type Ladder, type LadderSettings, ladderNext, levels, planOf } from "@tributary/driving";
import { seededRandom } from "@tributary/kernel";
import { type Change, type Drive, drive, type Fault, faultsOf, type LadderRules, ladderRules } from "./drive.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const ofFull = ["stopped", "killed", "slow", "hot", "throttled", "sensor"] as const;
const all = [...ofFull, "frozen", "silent"] as const;
const { settings } = ladderRules;

export type Checked = {
  /** What went against the property; empty: it holds. */
  readonly violations: readonly string[];
  /** How often there was something to show; a property of which nothing is ever shown would hold as well. */
  readonly cases: number;
};

export type LadderProperty = {
  readonly name: string;
  /** Simulated time of one seed. */
  readonly driveMs: number;
  /** What is counted as a case. */
  readonly cases: string;
  check(seed: number, rules: LadderRules): Checked;
  readonly controls: readonly { readonly name: string; rules(): LadderRules }[];
};

const withSettings = (changed: Partial<LadderSettings>) => (): LadderRules => ({
  ...ladderRules,
  settings: { ...settings, ...changed },
});

/** A ladder that takes no step of one direction. */
const without = (direction: "up" | "down") => (): LadderRules => ({
  ...ladderRules,
  next: (ladder, event, own) => {
    const next = ladderNext(ladder, event, own);
    const steps = levels.indexOf(next.level) - levels.indexOf(ladder.level);
    const isTaken = direction === "down" ? steps <= 0 : steps >= 0;
    return isTaken ? next : { ...next, level: ladder.level, reason: ladder.reason, since: ladder.since };
  },
});

const changeText = ({ to, at, reason }: Pick<Change, "to" | "at" | "reason">): string =>
  `${to} at ${Math.round(at)}, ${reason}`;

const fullNeverFails: LadderProperty = {
  name: "faults of the full model: every frame is answered in time by a model",
  driveMs: 20 * SECOND,
  cases: "frames answered by LITE",
  check: (seed, rules) => {
    const faults = faultsOf(seededRandom(seed), 20 * SECOND, 3, ofFull).map((fault) => ({
      ...fault,
      role: "FULL" as const,
    }));
    const { frames } = drive(seed, 20 * SECOND, faults, rules);
    return {
      violations: frames
        .filter(({ answeredBy }) => answeredBy === null)
        .map(({ at }) => `no answer to the frame at ${at}`),
      cases: frames.filter(({ answeredBy }) => answeredBy === "LITE").length,
    };
  },
  controls: [
    {
      name: "LITE is not asked at half of the deadline",
      rules: () => ({ ...ladderRules, plan: (ladder, isFree) => ({ ...planOf(ladder, isFree), hedge: null }) }),
    },
  ],
};

/** Times of the frames that broke (m,k): counted one by one, not as the ladder does. */
function brokenAt({ frames }: Drive, { met, of }: LadderSettings["firm"]): readonly number[] {
  const found: number[] = [];
  let missed = 0;
  frames.forEach(({ at, answeredBy }, i) => {
    if (answeredBy === null) missed += 1;
    if (i >= of && frames[i - of]?.answeredBy === null) missed -= 1;
    if (answeredBy === null && missed > of - met) found.push(at);
  });
  return found;
}

const safeInTime: LadderProperty = {
  name: "(19,20) breaks: SAFE before the deadline of that frame; SAFE only then",
  driveMs: 20 * SECOND,
  cases: "frames that broke it",
  check: (seed, rules) => {
    const driven = drive(seed, 20 * SECOND, faultsOf(seededRandom(seed), 20 * SECOND, 4, all), rules);
    const broken = brokenAt(driven, settings.firm);
    const isOf = (frameAt: number, at: number) => frameAt <= at && at <= frameAt + settings.deadlineMs;
    const late = broken.flatMap((at) => {
      const level = driven.changes.findLast((change) => change.at <= at + settings.deadlineMs)?.to ?? "FULL";
      return level === "SAFE" ? [] : [`the frame at ${at} broke it, and the level was ${level}`];
    });
    const needless = driven.changes.flatMap(({ to, at }) =>
      to === "SAFE" && !broken.some((frameAt) => isOf(frameAt, at))
        ? [`SAFE at ${Math.round(at)}, and it was not broken`]
        : [],
    );
    return { violations: [...late, ...needless], cases: broken.length };
  },
  controls: [
    { name: "no step down is taken", rules: without("down") },
    { name: "one miss is enough for SAFE", rules: withSettings({ firm: { met: 20, of: 20 } }) },
  ],
};

const returnsLate: LadderProperty = {
  name: "up 30 s after the last change at the earliest, and FULL again after the last fault",
  driveMs: 3 * MINUTE,
  cases: "steps up",
  check: (seed, rules) => {
    const { changes, end } = drive(seed, 3 * MINUTE, faultsOf(seededRandom(seed), MINUTE, 4, all), rules);
    const early = changes.flatMap(({ reason, at }, i) => {
      const held = at - (changes[i - 1]?.at ?? 0);
      return reason === "recovered" && held < settings.dwellMs
        ? [`up at ${Math.round(at)}, after ${Math.round(held)} ms`]
        : [];
    });
    return {
      violations: end.level === "FULL" ? early : [...early, `the level is ${end.level} at the end`],
      cases: changes.filter(({ reason }) => reason === "recovered").length,
    };
  },
  controls: [
    { name: "no dwell time", rules: withSettings({ dwellMs: 0 }) },
    { name: "no step up is taken", rules: without("up") },
  ],
};

/** What the ladder would be without two decisions apart: each late frame is a reason to leave FULL. */
const withLateFrames = (): LadderRules => ({
  ...ladderRules,
  next: (ladder, event, own) => {
    const isLate = event.kind === "answered" && event.tookMs > own.hedgeAt * own.deadlineMs;
    const isUp = ladder.isUp.LITE && ladder.isUp.FULL;
    if (!isLate || ladder.level !== "FULL" || !isUp) return ladderNext(ladder, event, own);
    return ladderNext({ ...ladder, level: "LITE", reason: "frame-late", since: event.at }, event, own);
  },
});

const calm: LadderProperty = {
  name: "no fault, some frames five times as slow: at most one change of level in ten minutes",
  driveMs: 10 * MINUTE,
  cases: "frames answered by LITE",
  check: (seed, rules) => {
    const { changes, frames } = drive(seed, 10 * MINUTE, [], rules);
    return {
      violations: changes.slice(1).map(changeText),
      cases: frames.filter(({ answeredBy }) => answeredBy === "LITE").length,
    };
  },
  controls: [{ name: "a late frame changes the level", rules: withLateFrames }],
};

const hotIsLeft: LadderProperty = {
  name: "hot: FULL is not asked, and is back once, after it was cool for 60 s",
  driveMs: 2 * MINUTE,
  cases: "drives",
  check: (seed, rules) => {
    const random = seededRandom(seed);
    const fromMs = SECOND * Math.floor(1 + 10 * random());
    const untilMs = fromMs + SECOND * Math.floor(1 + 35 * random());
    const hot: Fault = { kind: "hot", role: "FULL", fromMs, untilMs, factor: 1 };
    const { askedHot, changes } = drive(seed, 2 * MINUTE, [hot], rules);
    const asked = askedHot === 0 ? [] : [`FULL was asked ${askedHot} times`];
    const [down, up] = changes;
    const isDown = down?.to === "LITE" && down.reason === "hot";
    const isUp = up?.to === "FULL" && up.at >= untilMs + settings.heat.coolMs && changes.length === 2;
    const list = changes.map(changeText).join("; ");
    return {
      violations: isDown && isUp ? asked : [...asked, `cool from ${untilMs}, but ${list || "no change"}`],
      cases: 1,
    };
  },
  controls: [
    {
      name: "readings are ignored",
      rules: () => ({
        ...ladderRules,
        next: (ladder, event, own) => (event.kind === "reading" ? ladder : ladderNext(ladder, event, own)),
      }),
    },
    {
      name: "no hysteresis",
      rules: withSettings({ recoverMs: 0, dwellMs: 0, heat: { ...settings.heat, coolMs: 0 } }),
    },
  ],
};

const slowIsLeft: LadderProperty = {
  name: "4 times as slow: LITE within 2 s; 1.5 times: no change",
  driveMs: 40 * SECOND,
  cases: "drives",
  check: (seed, rules) => {
    const fromMs = 15 * SECOND;
    const changesOf = (factor: number) =>
      drive(seed, 20 * SECOND, [{ kind: "slow", role: "FULL", fromMs, untilMs: MINUTE, factor }], rules).changes;
    const [first] = changesOf(4);
    const isLeft = first?.to === "LITE" && first.reason === "full-slow" && first.at <= fromMs + 2 * SECOND;
    const needless = changesOf(1.5).map(({ to, at, reason }) => `1.5 times: ${changeText({ to, at, reason })}`);
    return {
      violations: isLeft
        ? needless
        : [...needless, `4 times: ${first === undefined ? "no change" : changeText(first)}`],
      cases: 2,
    };
  },
  controls: [
    {
      name: "no test of the latency",
      rules: withSettings({ shift: { ...settings.shift, threshold: Number.POSITIVE_INFINITY } }),
    },
  ],
};

const textOf = (ladder: Ladder): string =>
  JSON.stringify(ladder, (_, value: unknown) => (value instanceof Map ? [...value] : value));

const isReplayed: LadderProperty = {
  name: "a drive is replayed from its events",
  driveMs: MINUTE,
  cases: "events",
  check: (seed, rules) => {
    const { events, start, end } = drive(seed, MINUTE, faultsOf(seededRandom(seed), MINUTE, 6, all), rules);
    const again = events.reduce((ladder, event) => rules.next(ladder, event, rules.settings), start);
    return { violations: textOf(again) === textOf(end) ? [] : ["it ends in another state"], cases: events.length };
  },
  controls: [
    {
      name: "a decision depends on what is no event",
      rules: () => {
        let events = 0;
        return {
          ...ladderRules,
          next: (ladder, event, own) => (++events % 97 === 0 ? ladder : ladderNext(ladder, event, own)),
        };
      },
    },
  ],
};

const degradedEnds: LadderProperty = {
  name: "degraded: from 10 s below FULL, at once without a model, and never at FULL",
  driveMs: MINUTE,
  cases: "changes of level",
  check: (seed, rules) => {
    const { events, start, changes } = drive(seed, MINUTE, faultsOf(seededRandom(seed), MINUTE, 4, all), rules);
    let ladder = start;
    let below: number | null = null;
    const violations: string[] = [];
    for (const event of events) {
      ladder = rules.next(ladder, event, rules.settings);
      below = ladder.level === "FULL" ? null : (below ?? event.at);
      const isDue = below !== null && (ladder.level !== "LITE" || event.at - below >= settings.degradedMs);
      if (isDegraded(ladder, event.at, rules.settings) !== isDue)
        violations.push(`${ladder.level} at ${Math.round(event.at)}`);
    }
    return { violations, cases: changes.length };
  },
  controls: [{ name: "degraded at the first step down", rules: withSettings({ degradedMs: 0 }) }],
};

export const ladderProperties: readonly LadderProperty[] = [
  fullNeverFails,
  safeInTime,
  returnsLate,
  calm,
  hotIsLeft,
  slowIsLeft,
  degradedEnds,
  isReplayed,
];
