/** Loads of a vehicle's computer, up to those at which no program of it can keep a deadline. */
import { ahead, areBusy, busyLoops, ended, every, type Fault, isStopped, signalTo } from "./fault.ts";
import { priorityOf } from "./priority.ts";

const RAMP = [1, 2, 4, 8, 16];
const RAMP_SECONDS = 12;
/** Loops run so much longer than they are needed: they end by themselves where this program cannot end them. */
const LOOPS_SECONDS_MORE = 5;
const STOP_MS = 400;
const [STOP_EVERY_S, STOP_SECONDS] = [5, 20];
/** So that stops meet different parts of the camera's period. */
const STOP_SHIFT_S = 0.0125;

const ownPriority = (count: number): Fault => ({
  name: `${count} busy loop${count === 1 ? "" : "s"} at the agent's priority`,
  seconds: RAMP_SECONDS,
  expects: "overload",
  needs: "realtime",
  async begin(car) {
    const back = ahead();
    const priority = priorityOf(car.pid);
    const loops = busyLoops(count, priority, RAMP_SECONDS + LOOPS_SECONDS_MORE);
    const end = async () => {
      await ended(loops);
      back();
    };
    return { happened: () => areBusy(loops, priority), end };
  },
});

export const loadFaults: readonly Fault[] = [
  {
    name: "16 busy loops beside",
    seconds: 20,
    expects: "overload",
    async begin() {
      const loops = busyLoops(16, null, 20 + LOOPS_SECONDS_MORE);
      return { happened: () => areBusy(loops, null), end: () => ended(loops) };
    },
  },
  ...RAMP.map(ownPriority),
  {
    name: `the agent stopped for ${STOP_MS} ms, every ${STOP_EVERY_S} s`,
    seconds: STOP_SECONDS,
    expects: "firm",
    async begin(car) {
      let times = 0;
      const endTurns = every(STOP_EVERY_S + STOP_SHIFT_S, () => {
        signalTo(car.pid, "SIGSTOP");
        setTimeout(() => {
          if (isStopped(car.pid)) times += 1;
          signalTo(car.pid, "SIGCONT");
        }, STOP_MS);
      });
      const end = () => {
        endTurns();
        signalTo(car.pid, "SIGCONT");
      };
      return { happened: () => times >= STOP_SECONDS / STOP_EVERY_S - 1, end };
    },
  },
];
