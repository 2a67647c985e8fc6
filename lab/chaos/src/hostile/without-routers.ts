/**
 * One attack on the disk: the routers are away, and a hostile device fills the partition that it shares with others.
 *
 * What was acknowledged has to be there when the routers are back; what was not, devices keep, and it is acknowledged then.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { partitionOf } from "@tributary/kafka";
import { AnswerLog } from "../answer-log.ts";
import { check, type Findings } from "../scenario.ts";
import { deviceIdsOf, logChecks } from "./beside.ts";
import { answeredCheck, benignFigures, cloudChecks, figuresOf, pubackCheck, type Turn } from "./figures.ts";
import { RogueProcess } from "./rogue-process.ts";
import { period, type Stage, show } from "./stage.ts";
import type { Way } from "./way.ts";

const TURN_SECONDS = 5;
const SILENCE_MS = 30_000;
const ACKNOWLEDGED_SECONDS_MAX = 60;

export async function withoutRouters(way: Way, stage: Stage): Promise<Findings> {
  const { stack, benign, people, reader, seconds, log } = stage;
  const title = `${way.name}: ${way.summary}`;
  log(title);
  const answers = await AnswerLog.open(reader, deviceIdsOf(stage));
  for (const good of benign) good.acknowledged.clear();
  people.reset();
  const alone = figuresOf(await period(benign, Math.min(seconds, 2 * TURN_SECONDS)));
  const victims = victimsOf(stage);
  for (const router of stack.routers) await router.stop();
  const { beside, did } = await away(way, stage, victims).finally(() =>
    Promise.all(stack.routers.map((router) => router.start())),
  );
  log("  the routers are back");
  const unacknowledged = await untilAcknowledged(stage);
  await answers.untilAnswered(acknowledgedOf(stage), SILENCE_MS); // A backlog shall not count against what is measured now.
  const after = figuresOf(await period(benign, Math.min(seconds, 2 * TURN_SECONDS)));
  const acknowledged = acknowledgedOf(stage);
  const left = await answers.untilAnswered(acknowledged, SILENCE_MS);
  await people.label();
  const lost = left.filter((frameId) => victims.some((victim) => frameId.startsWith(`${victim}:`))).length;
  const findings: Findings = {
    title,
    checks: [
      answeredCheck(acknowledged.length, left),
      check("all that they kept is acknowledged in the end", unacknowledged === 0, `${unacknowledged} records are not`),
      ...cloudChecks(alone, after),
      pubackCheck(alone, beside),
      ...people.checks,
    ],
    figures: {
      ...benignFigures(alone, { ...after, p50: beside.p50 }),
      "benign: acknowledged frames": acknowledged.length,
      "benign: unanswered frames in the rogue's partition": lost,
      ...did,
    },
  };
  logChecks(findings, log);
  return findings;
}

const acknowledgedOf = ({ benign }: Stage) => benign.flatMap(({ acknowledged }) => [...acknowledged]);

/** Devices of the first one's partition. */
function victimsOf({ world, benign }: Stage): readonly string[] {
  const target = partitionOf(benign[0]?.deviceId ?? "", world.partitions);
  return benign.map(({ deviceId }) => deviceId).filter((id) => partitionOf(id, world.partitions) === target);
}

async function away(way: Way, { stack, world, benign, seconds, log }: Stage, [first = ""]: readonly string[]) {
  const target = partitionOf(first, world.partitions);
  let suffix = 0;
  while (partitionOf(`rogue-${way.name}-${suffix}`, world.partitions) !== target) suffix++;
  const credentials = await stack.devices.register(`rogue-${way.name}-${suffix}`);
  const rogue = await RogueProcess.start({ way: way.name, url: stack.mqttUrl, credentials });
  const turns: Turn[] = [];
  try {
    for (let lasted = 0; lasted < seconds || !isDone(way, rogue, lasted - seconds); lasted += TURN_SECONDS) {
      await show(benign, TURN_SECONDS);
      turns.push(...benign.map(({ measured, shown }) => ({ ...measured, shown })));
      const did = Object.entries(rogue.figures).map(([name, count]) => `${count} ${name}`);
      log(`  without routers: ${did.join(", ") || "nothing"} of the hostile device`);
    }
    rogue.check();
  } finally {
    await rogue.end();
  }
  const did = Object.fromEntries(Object.entries(rogue.figures).map(([name, count]) => [`rogue: ${name}`, count]));
  return { beside: figuresOf(turns), did };
}

/** It had its effect, or its device was not allowed to. */
const isDone = ({ until }: Way, { figures }: RogueProcess, overS: number): boolean =>
  until === undefined || overS >= until.secondsMax || (figures[until.figure] ?? 0) >= until.count;

async function untilAcknowledged({ benign }: Stage): Promise<number> {
  const open = () => benign.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0);
  for (let second = 0; second < ACKNOWLEDGED_SECONDS_MAX && open() > 0; second++) await sleep(1_000);
  return open();
}
