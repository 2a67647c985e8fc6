/**
 * Kafka is killed, and during the outage the bridge is killed as well (G1).
 *
 * In the test the outboxes keep what is not stored, the devices continue to answer, and nothing is lost. In the
 * control PUBACKs are sent before Kafka has the record (lab/sabotage/early-puback.mjs): the same faults must lose frames,
 * or the test proves nothing.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Stack, startStack, untilAnswered, verify } from "@tributary/stack";
import { watchAgents } from "./observe.ts";
import { check, type Outcome, type Scenario, type Settings } from "./scenario.ts";

const OUTAGE_S = 20;
const BRIDGE_KILLED_AFTER_S = 10;
const WARM_UP_S = 5;
/** Longer than the slowest recovery there is by design: a consumer that Kafka's return left stalled ends after 45 s. */
const SILENCE_MS_MAX = 150_000;
/** The control has lost what it lost when the others are answered. */
const CONTROL_SILENCE_MS_MAX = 12_000;

export const kafkaOutage: Scenario = {
  name: "kafka-outage",
  summary: "Kafka down for 20 s, the bridge killed after 10 s; with a control run that loses frames",
  details: `Kafka is killed with -9 for ${OUTAGE_S} s, and after ${BRIDGE_KILLED_AFTER_S} s the bridge as well. Then the same
with a bridge that acknowledges early (lab/sabotage/early-puback.mjs), which must lose frames.`,
  settings: {
    short: { devices: 2, fps: 10, seconds: WARM_UP_S + OUTAGE_S + 10 },
    long: { devices: 8, fps: 10, seconds: 180 },
  },
  run: (settings) =>
    // At the same time, so that both meet the same machine.
    Promise.all([
      outage({ ...settings, dir: join(settings.dir, "as-is") }, false),
      outage({ ...settings, dir: join(settings.dir, "control") }, true),
    ]),
};

async function outage(settings: Settings, isControl: boolean): Promise<Outcome> {
  const { devices, fps, seconds, dir } = settings;
  const title = isControl ? "Control: PUBACK before Kafka's ack" : "PUBACK after Kafka's ack";
  const log = (line: string) => settings.log(`${isControl ? "control" : "test"}: ${line}`);
  const frames = devices * fps * seconds;
  const stack = await startStack({
    dir,
    supervised: true,
    agents: { count: devices, fps, frames },
    onEvent: log,
    ...(isControl && { sabotage: { bridge: "early-puback" } }),
  });
  try {
    await sleep(1_000 * WARM_UP_S);
    const { framesHeldMax, answeredMin } = await withoutKafka(stack, log);
    const isAnswered = await untilAnswered(stack, frames, {
      silenceMsMax: isControl ? CONTROL_SILENCE_MS_MAX : SILENCE_MS_MAX,
    });
    const { report } = await verify({ ...stack, from: stack.began, ledgers: stack.agents });
    const expected = fps * OUTAGE_S;
    return {
      title,
      report,
      figures: { frames, outboxFramesMax: framesHeldMax, lost: report.lost, repeated: report.duplicates },
      checks: [
        ...(isControl ? [] : [check("outboxes held frames", framesHeldMax > expected / 2, framesHeldMax)]),
        // A camera drops what a busy machine makes it miss; an agent that had stopped would have answered next to nothing.
        check("every agent kept answering", answeredMin > 0.5 * expected, `${answeredMin} of ${expected} each`),
        isControl
          ? check("frames are lost", report.lost > 0, report.lost)
          : check("nothing is lost", isAnswered && report.lost === 0, report.lost),
        check("no frame has two answers that differ", report.contradictions === 0, report.contradictions),
      ],
    };
  } finally {
    await stack.stop();
  }
}

async function withoutKafka(stack: Stack, log: (line: string) => void) {
  log("killing Kafka");
  await stack.kafka.kill();
  const watching = watchAgents(stack.agents);
  await sleep(1_000 * BRIDGE_KILLED_AFTER_S);
  log("killing the bridge");
  await stack.bridge.kill();
  await sleep(1_000 * (OUTAGE_S - BRIDGE_KILLED_AFTER_S));
  const seen = await watching.stop();
  log("starting Kafka");
  await stack.kafka.start();
  return seen;
}
