/** The classifier is stopped permanently: the router settles every sent frame as EDGE, by its deadline (G2, G4). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { edgePackage, quantiles, startStack, untilAnswered, verify } from "@tributary/stack";
import { check, type Outcome, type Scenario, type Settings } from "./scenario.ts";

const ALIVE_S = 5;
/** Frames shown so shortly before the stop may have their answer still, or be on their way. */
const GRACE_S = 2.5;
/** From the router's clock to Kafka's timestamp, and between two clocks' ticks: of 99 in 100, and of all, since a machine that
 * runs everything stands still at times. */
const APPEND_MS = { most: 300, all: 2_000 };
const SILENCE_MS_MAX = 30_000;

export const deadClassifier: Scenario = {
  name: "dead-classifier",
  summary: "the classifier stopped permanently: every sent frame is settled as EDGE by its deadline",
  details: `After ${ALIVE_S} s the only classifier is stopped and not restarted.`,
  settings: {
    short: { devices: 2, fps: 10, seconds: 14 },
    long: { devices: 8, fps: 10, seconds: 120 },
  },
  run: async (settings) => [await dead(settings)],
};

async function dead(settings: Settings): Promise<Outcome> {
  const { devices, fps, seconds, dir, log } = settings;
  const frames = devices * fps * seconds;
  const { deadlineMs } = JSON.parse(readFileSync(join(edgePackage, "policy.json"), "utf8")) as { deadlineMs: number };
  const stack = await startStack({ dir, supervised: true, agents: { count: devices, fps, frames }, onEvent: log });
  try {
    await sleep(1_000 * ALIVE_S);
    log("stopping the classifier");
    await stack.classifier.stop();
    const stoppedAt = Date.now();
    const isAnswered = await untilAnswered(stack, frames, { silenceMsMax: SILENCE_MS_MAX });
    const { report, account } = await verify({ ...stack, from: stack.began, ledgers: stack.agents });
    const latencies: number[] = [];
    let cloudAnswers = 0;
    for (const key of account.sent.keys()) {
      const shown = account.shown.get(key);
      const answered = account.answered.get(key);
      if (shown === undefined || answered === undefined || shown.capturedAt < stoppedAt + GRACE_S * 1_000) continue;
      const latencyMs = answered.appendedAt - shown.capturedAt;
      latencies.push(latencyMs);
      if (answered.answer.source !== "EDGE") cloudAnswers++;
    }
    const { p50, p99 } = quantiles(latencies);
    const laterBy = (appendMs: number) => latencies.filter((ms) => ms > deadlineMs + appendMs).length;
    return {
      title: "The classifier stopped permanently",
      report,
      figures: { frames, "sent while it was down": latencies.length, "settled p50 ms": p50, "settled p99 ms": p99 },
      checks: [
        check("frames were sent while it was down", latencies.length > 0, latencies.length),
        check("all of them ended as EDGE", cloudAnswers === 0, `${cloudAnswers} as CLOUD`),
        check(
          `99 in 100 settled within ${deadlineMs} ms and ${APPEND_MS.most} ms to append, all within ${APPEND_MS.all} ms of the deadline`,
          laterBy(APPEND_MS.most) <= latencies.length / 100 && laterBy(APPEND_MS.all) === 0,
          `${laterBy(APPEND_MS.most)} and ${laterBy(APPEND_MS.all)} of ${latencies.length} later`,
        ),
        check("nothing is lost", isAnswered && report.lost === 0, report.lost),
        check("no frame has two answers that differ", report.contradictions === 0, report.contradictions),
      ],
    };
  } finally {
    await stack.stop();
  }
}
