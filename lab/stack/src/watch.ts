/** Watches the running stack: the table or its lines, the first final answer, and whether --frames have their answers. */
import { systemClock } from "@tributary/kernel";
import { lossesOf } from "./account.ts";
import { STACK_MARK } from "./journal.ts";
import type { Live } from "./live.ts";
import type { StartOptions } from "./options.ts";
import { marked, pssBytes } from "./proc.ts";
import type { Stack } from "./stack.ts";
import {
  type AgentView,
  agentIdsOf,
  askAgent,
  askLightDevices,
  lineOf,
  type Screen,
  tableOf,
  type View,
} from "./table.ts";
import type { Task } from "./task.ts";
import { accountOf, endedBoots, shownBy } from "./verify.ts";

const TICK_MS = 1_000;
const LINE_MS = 5_000;
/** A camera without a first picture for so long is reported. */
const PICTURE_MS_MAX = 10_000;
/** Cameras have ended and no answer arrived for so long: what is missing is lost. */
const SILENCE_MS_MAX = 45_000;

type Watching = {
  readonly stack: Stack;
  readonly live: Live;
  readonly options: StartOptions;
  readonly task: Task;
  readonly screen: Screen;
  readonly signal: AbortSignal;
  /** From the start of it all. */
  readonly secondsTo: (at: number) => number;
};

/** Draws until stopped, or, with --exit, until every frame has its final answer. */
export async function watch({ stack, live, options, task, screen, signal, secondsTo }: Watching): Promise<{
  readonly memoryMbMax: number;
  /** Of devices that had any. */
  readonly unnumbered: ReadonlyMap<string, number>;
}> {
  const startedAt = performance.now();
  const agents = new Map<string, AgentView | undefined>();
  const unnumbered = new Map<string, number>();
  let lightModels: readonly string[] = [];
  let lineAt = 0;
  let memoryMbMax = 0;
  let [isFirstPrinted, isSilencePrinted] = [false, false];
  const ending = new Ending(stack, live, options, task);
  while (!signal.aborted) {
    await systemClock.sleep(TICK_MS, signal).catch(() => {});
    await Promise.all(
      stack.agents.map(async ({ deviceId, url }) => {
        const view = await askAgent(url);
        agents.set(deviceId, view);
        if (view !== undefined && view.unnumbered > 0) unnumbered.set(deviceId, view.unnumbered);
      }),
    );
    lightModels = (await Promise.all(stack.light.map(({ url }) => askLightDevices(url)))).flat();
    const view: View = { stack, live, agents, lightModels };
    const now = performance.now();
    if (!isFirstPrinted && live.first !== undefined) {
      const { deviceId, frameSeq, label, source, seenAt } = live.first;
      screen.print(
        `  first final answer after ${secondsTo(seenAt)} s: frame ${frameSeq} of ${deviceId} is "${label}", by the ${source.toLowerCase()}`,
      );
      isFirstPrinted = true;
    }
    if (now - startedAt > PICTURE_MS_MAX && !isSilencePrinted) {
      for (const line of silentCameras(stack, agents)) screen.print(`  ${line}`);
      isSilencePrinted = true;
    }
    if (now - lineAt > LINE_MS) {
      const bytes = marked(STACK_MARK, stack.stackId).reduce((sum, { pid }) => sum + pssBytes(pid), 0);
      memoryMbMax = Math.max(memoryMbMax, Math.round(bytes / 1e6));
    }
    if (process.stdout.isTTY) screen.draw(tableOf(view));
    else if (now - lineAt > LINE_MS) console.log(lineOf(view, (now - startedAt) / 1000));
    if (now - lineAt > LINE_MS) lineAt = now;
    if (options.exit && (await ending.isReached())) break;
  }
  if (!process.stdout.isTTY) console.log(tableOf({ stack, live, agents, lightModels }));
  return { memoryMbMax, unnumbered };
}

/** Why a person who waits for pictures waits. */
function silentCameras(stack: Stack, agents: ReadonlyMap<string, AgentView | undefined>): string[] {
  return stack.agents.flatMap(({ deviceId, part }) => {
    if (agents.get(deviceId)?.pictures !== 0) return [];
    const ended = part.events().findLast(({ event }) => event === "camera_ended");
    const why = ended === undefined ? "does it write JPEGs to its standard output?" : `it ${ended.how}`;
    return [`${deviceId}: no picture from its camera yet: ${why} (${part.logFile})`];
  });
}

/** Whether the --frames were captured, and each has its final answer or has waited long enough for it. */
class Ending {
  readonly #stack: Stack;
  readonly #live: Live;
  readonly #frames: number;
  readonly #task: Task;
  #answered = -1;
  #answeredAt = 0;

  constructor(stack: Stack, live: Live, { frames = Number.POSITIVE_INFINITY }: StartOptions, task: Task) {
    this.#stack = stack;
    this.#live = live;
    this.#frames = frames;
    this.#task = task;
  }

  async isReached(): Promise<boolean> {
    const [now, stack] = [performance.now(), this.#stack];
    const { answered, frames } = this.#live.all(agentIdsOf(stack));
    if (this.#task.camera.kind === "command") return frames >= this.#frames;
    if (answered !== this.#answered) [this.#answered, this.#answeredAt] = [answered, now];
    const shown = shownBy(stack.agents).length;
    if (shown < this.#frames) return false;
    const isSilent = now - this.#answeredAt > SILENCE_MS_MAX;
    if (answered < shown && !isSilent && now - this.#answeredAt < 5_000) return false;
    const account = await accountOf({ ...stack, from: stack.began, ledgers: stack.agents });
    return isSilent || lossesOf(account, { killed: endedBoots(stack.agents) }).lost.length === 0;
  }
}
