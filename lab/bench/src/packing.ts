/** `bench packing`: whether `tributary models pack` reports faults of a model's description, and packs correct ones.
 *
 * Packing sees validation photos, their labels and the description alone, as a user's does. A fault counts as harmful if the
 * true description, which packing does not know, is right more often on these frames by a paired test at 5 %. Otherwise
 * packing is correct to accept it. The decisions are those of `packModel`: every good package and one fault of each task also
 * go through all of it. */
import { seededRandom } from "@tributary/kernel";
import type { Bench, BenchOptions, BenchReport, Table } from "./bench.ts";
import { type Description, type Fault, faultsOf } from "./packing/faults.ts";
import { type Answer, answerOf, curedBy, lossOf } from "./packing/judged.ts";
import { type Outcome, Packer } from "./packing/packer.ts";
import { packingTasks, splitOf, type Task } from "./packing/tasks.ts";

const NAMED_MIN = 0.9;
const SPLITS = { short: 1, long: 10 };

type Case = {
  readonly task: string;
  readonly seed: number;
  readonly fault: string;
  readonly lossPoints: number;
  readonly isHarmful: boolean;
  readonly answer: Answer;
  readonly isRefused: boolean;
  readonly messages: string;
};
type Good = Outcome & { readonly task: string; readonly seed: number };

export const packing: Bench = {
  name: "packing",
  summary: "single faults of a model's description on several tasks: reported at packing, correct ones packed",
  details: `Ten tasks of real photos (twenty, ten, six and two classes, 1:1 and 9:1, 120 to 500 validation frames, models that take
several kinds of tensors; --tasks all: also those that lab/tasks holds out), one split drawn by seed (--long: ${SPLITS.long}). Each is packed as it should be, with every single fault of its
description (range, mean and deviation, channels, layout, size, kernel, labels), and with labels dealt out at random.
Gates: no good package refused or warned of; of the faults whose loss these frames show at 5 % at least ${100 * NAMED_MIN} % named
rightly, by the right value or by one that is as good on these frames; nothing named where nothing helps; the whole
of packModel decides the same.`,
  run,
};

async function run({ isLong, flags, progress }: BenchOptions): Promise<BenchReport> {
  const seeds = Array.from({ length: isLong ? SPLITS.long : SPLITS.short }, (_, i) => i + 1);
  progress("photos and models");
  const tasks = await packingTasks(flags.tasks ?? "seen");
  const goods: Good[] = [];
  const cases: Case[] = [];
  const blinds: Good[] = [];
  const wholes: { readonly task: string; readonly isSame: boolean }[] = [];
  for (const task of tasks) {
    const packer = await Packer.of(task);
    for (const seed of seeds) {
      progress(`${task.shape}: split ${seed}`);
      const found = await judgeSplit(task, packer, seed);
      goods.push(found.good);
      blinds.push(found.blind);
      cases.push(...found.cases);
      const harmful = found.cases.filter(({ isHarmful }) => isHarmful);
      const missed = harmful.filter((one) => !isNamed(one)).map(({ fault, answer }) => `${fault} ${answer}`);
      progress(
        `  good ${found.good.isRefused ? "refused" : "packed"}; named rightly ${harmful.length - missed.length} of ${harmful.length}; ${missed.join(", ") || "none missed"}`,
      );
    }
    progress(`${task.shape}: the whole of packModel`);
    wholes.push({ task: task.name, isSame: await isWholeTheSame(task, packer, seeds[0] as number) });
  }
  return reportOf(tasks, goods, cases, blinds, wholes);
}

async function judgeSplit(task: Task, packer: Packer, seed: number) {
  const photos = splitOf(task, seed);
  const truth: Description = { config: task.described, labels: task.labels };
  const classes = photos.map(({ label }) => label);
  const right = await packer.right(truth, photos);
  const cases: Case[] = [];
  for (const fault of faultsOf(truth)) {
    const outcome = await packer.outcome(fault.description, photos);
    const loss = lossOf(right, await packer.right(fault.description, photos), classes);
    const cure = curedBy(outcome.messages, fault.description);
    const lossOfCure = cure === null ? null : lossOf(right, await packer.right(cure, photos), classes);
    const answer = answerOf(outcome.messages, fault, truth, lossOfCure, cure);
    const { points: lossPoints, isSignificant: isHarmful } = loss;
    cases.push({ task: task.name, seed, fault: fault.name, lossPoints, isHarmful, answer, ...outcome });
  }
  const random = seededRandom(seed);
  const lots = classes.map((label) => [random(), label] as const).sort(([a], [b]) => a - b);
  const dealt = photos.map(({ jpeg }, i) => ({ jpeg, label: (lots[i] as readonly [number, number])[1] }));
  return {
    good: { task: task.name, seed, ...(await packer.outcome(truth, photos)) },
    blind: { task: task.name, seed, ...(await packer.outcome(truth, dealt)) },
    cases,
  };
}

async function isWholeTheSame(task: Task, packer: Packer, seed: number): Promise<boolean> {
  const photos = splitOf(task, seed);
  const truth: Description = { config: task.described, labels: task.labels };
  const [fault] = faultsOf(truth) as readonly [Fault];
  for (const description of [truth, fault.description]) {
    const [here, whole] = [await packer.outcome(description, photos), await packer.wholeOutcome(description, photos)];
    if (here.isRefused !== whole.isRefused || cureIn(here) !== cureIn(whole)) return false;
  }
  return true;
}

/** Without the figures: a batch may round otherwise. */
const cureIn = ({ messages }: Outcome): string => /write .+? in /.exec(messages)?.[0] ?? "";

function reportOf(
  tasks: readonly Task[],
  goods: readonly Good[],
  cases: readonly Case[],
  blinds: readonly Good[],
  wholes: readonly { readonly task: string; readonly isSame: boolean }[],
): BenchReport {
  const harmful = cases.filter(({ isHarmful }) => isHarmful);
  const named = harmful.filter(isNamed);
  const refused = goods.filter(({ isRefused }) => isRefused).length;
  const warned = goods.filter(({ messages }) => messages.startsWith("warning")).length;
  const misled = blinds.filter((blind) => !blind.isRefused || /: write /.test(blind.messages)).length;
  const others = wholes.filter(({ isSame }) => !isSame).map(({ task }) => task);
  const columns = [
    "faulty",
    "loss shown",
    "named exactly",
    "named, as good",
    "named wrongly",
    "not named",
    "loss not significant",
    "of them packed",
  ];
  return {
    tables: [
      {
        title: "By task",
        columns: ["task", "good", "packed", "warned", ...columns],
        rows: tasks.map(({ name, shape }) => {
          const own = goods.filter(({ task }) => task === name);
          const packed = own.filter(({ isRefused }) => !isRefused).length;
          const warned = own.filter(({ messages }) => messages.startsWith("warning")).length;
          return [shape, own.length, packed, warned, ...cellsOf(cases.filter(({ task }) => task === name))];
        }),
      },
      {
        title: "By fault",
        columns: ["fault", "median loss, points", ...columns],
        rows: [...new Set(cases.map(({ fault }) => fault))].map((name) => {
          const own = cases.filter(({ fault }) => fault === name);
          const losses = own.map(({ lossPoints }) => lossPoints).sort((a, b) => a - b);
          return [name, (losses[Math.floor(losses.length / 2)] as number).toFixed(1), ...cellsOf(own)];
        }),
      },
      lossTable(harmful),
    ],
    gates: [
      { name: "correct packages rejected: 0", passed: refused === 0, measured: `${refused} of ${goods.length}` },
      { name: "correct packages with a warning: 0", passed: warned === 0, measured: `${warned} of ${goods.length}` },
      {
        name: `faults with a loss, reported correctly: at least ${100 * NAMED_MIN} %`,
        passed: named.length >= NAMED_MIN * harmful.length,
        measured: `${named.length} of ${harmful.length}, ${((100 * named.length) / harmful.length).toFixed(1)} %`,
      },
      {
        name: "random labels: rejected, and no fault reported",
        passed: misled === 0,
        measured: `${blinds.length - misled} of ${blinds.length}`,
      },
      {
        name: "packModel decides the same",
        passed: others.length === 0,
        measured: others.length === 0 ? `${2 * wholes.length} of ${2 * wholes.length}` : `not of ${others.join("; ")}`,
      },
    ],
    figures: { goods, cases, blinds, wholes },
  };
}

const lossTable = (harmful: readonly Case[]): Table => ({
  title: "By loss in balanced accuracy, where it is significant on these frames",
  columns: ["loss, points", "faulty", "reported correctly", "rejected", "packed with a warning", "packed without"],
  rows: (
    [
      [0, 5],
      [5, 10],
      [10, 20],
      [20, 101],
    ] as const
  ).map(([from, to]) => {
    const own = harmful.filter(({ lossPoints }) => lossPoints >= from && lossPoints < to);
    const isWarned = ({ isRefused, messages }: Case) => !isRefused && messages.startsWith("warning");
    return [
      to > 100 ? `${from} or more` : `${from} to ${to}`,
      own.length,
      own.filter(isNamed).length,
      own.filter(({ isRefused }) => isRefused).length,
      own.filter(isWarned).length,
      own.filter((one) => !one.isRefused && !isWarned(one)).length,
    ];
  }),
});

const isNamed = ({ answer }: Case): boolean => answer === "exact" || answer === "as good";

function cellsOf(cases: readonly Case[]): readonly number[] {
  const harmful = cases.filter(({ isHarmful }) => isHarmful);
  const harmless = cases.filter(({ isHarmful }) => !isHarmful);
  const count = (wanted: Answer) => harmful.filter(({ answer }) => answer === wanted).length;
  const packed = harmless.filter(({ isRefused }) => !isRefused).length;
  return [
    cases.length,
    harmful.length,
    ...(["exact", "as good", "wrong", "unnamed"] as const).map(count),
    harmless.length,
    packed,
  ];
}
