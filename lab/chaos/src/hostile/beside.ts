/** One attack: the benign devices alone and beside hostile ones, in turns. */
import { setTimeout as sleep } from "node:timers/promises";
import { metricsOf, type Part, type Stack, seriesOf, tributary } from "@tributary/stack";
import { AnswerLog } from "../answer-log.ts";
import type { Findings } from "../scenario.ts";
import {
  answeredCheck,
  benignFigures,
  cloudChecks,
  costChecks,
  figuresOf,
  type Named,
  namedChecks,
  pubackCheck,
  rogueFigures,
  type Turn,
} from "./figures.ts";
import { QueueWatch } from "./people.ts";
import { RogueProcess } from "./rogue-process.ts";
import { period, type Stage } from "./stage.ts";
import type { Way } from "./way.ts";
import { meterOf } from "./written.ts";

/** Of the benign devices alone, and beside the rogue. */
const TURN_SECONDS = 5;
/** The last benign device begins nearly a second after the first, and waits for its last acknowledgement. */
const SENT_SECONDS = 2;
/** A frame whose answer has not come after so long has none: deadlines are shorter, and a backlog moves on. */
const SILENCE_MS = 20_000;

export async function beside(way: Way, stage: Stage, count: number): Promise<Findings> {
  const { benign, people, reader, log } = stage;
  const title = `${way.name}${way.rogues === undefined ? "" : `, ${count} devices`}: ${way.summary}`;
  log(title);
  const rogueIds = Array.from({ length: count }, (_, i) =>
    way.rogues === undefined ? `rogue-${way.name}` : `rogue-${way.name}-${count}-${i + 1}`,
  );
  const answers = await AnswerLog.open(reader, deviceIdsOf(stage));
  for (const good of benign) good.acknowledged.clear();
  people.reset();
  const queue = way.isOfQueue && new QueueWatch(people, benign);
  const written = await meterOf(reader, rogueIds);
  const { alone, with_, named, lastedSeconds, did } = await turns(way, stage, rogueIds, queue);
  const bytes = await written();
  const acknowledged = benign.flatMap((good) => [...good.acknowledged]);
  const left = await answers.untilAnswered(acknowledged, SILENCE_MS);
  const findings: Findings = {
    title,
    checks: [
      ...cloudChecks(alone, with_),
      pubackCheck(alone, with_),
      ...people.checks,
      ...(queue?.checks ?? []),
      answeredCheck(acknowledged.length, left),
      ...costChecks(way, count, { ...bytes, acknowledged: did["rogue: acknowledged"] ?? 0, seconds: lastedSeconds }),
      ...namedChecks(way, named),
    ],
    figures: { ...benignFigures(alone, with_), ...rogueFigures(bytes), ...did, ...queue?.figures },
  };
  logChecks(findings, log);
  return findings;
}

export const deviceIdsOf = ({ benign }: Stage): readonly string[] => benign.map(({ deviceId }) => deviceId);

export function logChecks({ checks }: Findings, log: (line: string) => void): void {
  for (const { name, passed, found } of checks) log(`  ${passed ? "holds" : "FAILS"}: ${name}: ${found}`);
}

async function turns(way: Way, stage: Stage, rogueIds: readonly string[], queue: QueueWatch | undefined) {
  const { stack, benign, people, seconds } = stage;
  const alone: Turn[] = [];
  const with_: Turn[] = [];
  let rogues: RogueProcess[] = [];
  let named: Named = { metrics: [], commandLine: "" };
  let beganMs = 0;
  const count = Math.ceil(seconds / TURN_SECONDS);
  try {
    for (let turn = 1; turn <= count; turn++) {
      alone.push(...(await period(benign, seconds / count)));
      if (rogues.length === 0) {
        rogues = await startRogues(way, stack, rogueIds);
        beganMs = performance.now();
      } else for (const rogue of rogues) rogue.resume();
      const isLast = turn === count;
      const asked = isLast && sleep((seconds / count + SENT_SECONDS) * 1_000).then(() => namedBy(stack, rogueIds));
      with_.push(...(await period(benign, seconds / count)));
      if (asked) named = await asked;
      if (isLast) await untilDone(way, stage, rogues);
      await people.label();
      await queue?.look(rogueIds[0] ?? "");
      if (!isLast) for (const rogue of rogues) rogue.pause();
    }
    for (const rogue of rogues) rogue.check();
  } finally {
    for (const rogue of rogues) await rogue.end();
  }
  // Its token buckets refill while it is stopped, too.
  const lastedSeconds = (performance.now() - beganMs) / 1_000;
  const did = Object.fromEntries(Object.entries(rogues[0]?.figures ?? {}).map(([name, n]) => [`rogue: ${name}`, n]));
  return { alone: figuresOf(alone), with_: figuresOf(with_), named, lastedSeconds, did };
}

async function startRogues({ name }: Way, stack: Stack, rogueIds: readonly string[]): Promise<RogueProcess[]> {
  const started: RogueProcess[] = [];
  for (const deviceId of rogueIds) {
    const credentials = await stack.devices.register(deviceId);
    started.push(await RogueProcess.start({ way: name, url: stack.mqttUrl, credentials }));
  }
  return started;
}

/** Continues the attack until it had its effect, or its device was not allowed to. */
async function untilDone({ until }: Way, { log }: Stage, [rogue]: readonly RogueProcess[]): Promise<void> {
  if (until === undefined || rogue === undefined) return;
  const { figure, count, secondsMax } = until;
  for (let second = 0; second < secondsMax && (rogue.figures[figure] ?? 0) < count; second++) {
    if (second % 10 === 0) log(`  ${rogue.figures[figure] ?? 0} of ${count} ${figure}`);
    await sleep(1_000);
  }
}

async function namedBy(stack: Stack, rogueIds: readonly string[]): Promise<Named> {
  const metrics = await Promise.all(
    [stack.bridge, stack.router].flatMap((part) => rogueIds.map((deviceId) => reasonsIn(part, deviceId))),
  );
  const output = await tributary(stack, "get", "devices", "-o", "json").catch(() => "[]");
  const devices = JSON.parse(output) as { deviceId: string; throttled?: { reason: string }[] }[];
  const mine = devices.filter(({ deviceId }) => rogueIds.includes(deviceId)).flatMap(({ throttled = [] }) => throttled);
  return { metrics: metrics.flat(), commandLine: mine.map(({ reason }) => reason).join(", ") };
}

/** For which reasons a service's metrics name the device. */
async function reasonsIn(part: Part, deviceId: string): Promise<readonly string[]> {
  const series = [...seriesOf(await metricsOf(part).catch(() => "")).keys()];
  const mine = series.filter((one) => one.includes("_throttled_device{") && one.includes(`device="${deviceId}"`));
  return mine.map((one) => /reason="([^"]+)"/.exec(one)?.[1] ?? "?");
}
