/** Loads of a vehicle's computer, up to those at which no program of it can keep a deadline. */
import { ahead, busyLoops, ended, every, type Fault, signalTo } from "./fault.ts";
import { priorityOf } from "./priority.ts";

const RAMP = [1, 2, 4, 8, 16];
const RAMP_SECONDS = 12;
/** Loops run so much longer than they are needed: they end by themselves where this program cannot end them. */
const LOOPS_SECONDS_MORE = 5;
const STOP_MS = 400;

const ownPriority = (count: number): Fault => ({
  name: `${count} busy loop${count === 1 ? "" : "s"} at the agent's priority`,
  seconds: RAMP_SECONDS,
  expects: "overload",
  async begin(car) {
    const back = ahead();
    const loops = busyLoops(count, priorityOf(car.pid), RAMP_SECONDS + LOOPS_SECONDS_MORE);
    return async () => {
      await ended(loops);
      back();
    };
  },
});

export const loadFaults: readonly Fault[] = [
  {
    name: "16 busy loops beside",
    seconds: 20,
    expects: "overload",
    async begin() {
      const loops = busyLoops(16, null, 20 + LOOPS_SECONDS_MORE);
      return () => ended(loops);
    },
  },
  ...RAMP.map(ownPriority),
  {
    name: `the agent stopped for ${STOP_MS} ms, every 5 s`,
    seconds: 20,
    expects: "firm",
    async begin(car) {
      const end = every(5, () => {
        signalTo(car.pid, "SIGSTOP");
        setTimeout(() => signalTo(car.pid, "SIGCONT"), STOP_MS);
      });
      return () => {
        end();
        signalTo(car.pid, "SIGCONT");
      };
    },
  },
];
