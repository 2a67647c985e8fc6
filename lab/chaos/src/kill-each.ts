/**
 * One agent, bridge, router and classifier are killed with -9, one after the other (G1, G2).
 *
 * Every committed frame has an answer, no frame has two that differ. What the killed agent had not committed (up to
 * 100 ms of frames, and those in flight) was never promised, and is counted separately.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { endedBoots, startStack, untilAnswered, verify } from "@tributary/stack";
import { waitFor } from "@tributary/testing";
import { check, type Outcome, type Scenario, type Settings } from "./scenario.ts";

const KILLS = 4;
const SECONDS_BETWEEN = 6;
const SILENCE_MS_MAX = 60_000;
/** The outbox commits its group every 100 ms; a busy machine delays it. */
const COMMIT_S = 1;
/** One in the model, and one that the camera has written and the agent not yet read. */
const IN_FLIGHT = 2;

export const killEach: Scenario = {
  name: "kill-each",
  summary: "an agent, bridge, router and classifier killed with -9, one after the other",
  details: `Every ${SECONDS_BETWEEN} s at least, one is killed and the supervisor starts it again.`,
  settings: {
    short: { devices: 2, fps: 10, seconds: 40 },
    long: { devices: 8, fps: 10, seconds: 300 },
  },
  run: async (settings) => [await kills(settings)],
};

async function kills(settings: Settings): Promise<Outcome> {
  const { devices, fps, seconds, dir, log } = settings;
  const frames = devices * fps * seconds;
  const stack = await startStack({ dir, supervised: true, agents: { count: devices, fps, frames }, onEvent: log });
  const recoveriesMs: { [name: string]: number } = {};
  try {
    const rounds = Math.max(1, Math.floor(seconds / (KILLS * SECONDS_BETWEEN + 15)));
    for (let round = 0; round < rounds; round++) {
      const agent = stack.agents[round % stack.agents.length]?.part;
      // The agent first: on a slow machine its camera might otherwise be at its end before its turn.
      for (const part of [agent, stack.bridge, stack.router, stack.classifier]) {
        if (part === undefined) continue;
        await sleep(1_000 * SECONDS_BETWEEN);
        const killedAt = performance.now();
        log(`killing ${part.name}`);
        await part.kill();
        await waitFor(() => part.state === "running", { what: `${part.name} to restart, see ${part.logFile}` });
        recoveriesMs[part.name] = Math.round(performance.now() - killedAt);
      }
    }
    const isAnswered = await untilAnswered(stack, frames, { silenceMsMax: SILENCE_MS_MAX });
    const killed = endedBoots(stack.agents);
    const { report } = await verify({ ...stack, from: stack.began, ledgers: stack.agents, excuses: { killed } });
    const uncommittedMax = killed.size * (Math.ceil(fps * COMMIT_S) + IN_FLIGHT);
    return {
      title: "Each killed in turn",
      report,
      figures: {
        frames,
        repeated: report.duplicates,
        uncommitted: report.uncommitted,
        ...Object.fromEntries(Object.entries(recoveriesMs).map(([name, ms]) => [`${name} back after ms`, ms])),
      },
      checks: [
        check("every committed frame has an answer", isAnswered && report.lost === 0, `${report.lost} without`),
        check("no frame has two answers that differ", report.contradictions === 0, report.contradictions),
        check("an agent was killed and restarted", killed.size > 0, killed.size),
        check(
          "uncommitted frames are within the bound",
          report.uncommitted <= uncommittedMax,
          `${report.uncommitted} of at most ${uncommittedMax}`,
        ),
      ],
    };
  } finally {
    await stack.stop();
  }
}
