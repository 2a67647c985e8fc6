/** A container with a part of a core: the agent and its models run in a control group, without Linux's real-time class, as containers do. The camera and the
 * reader are outside of it. */
import type { ControlGroup } from "./control-group.ts";
import type { Fault } from "./fault.ts";

/** Parts of a core, from more than the agent needs to less. */
const SHARES = [0.8, 0.5, 0.3];

export const groupFaults = (version: 1 | 2, group: ControlGroup): readonly Fault[] =>
  SHARES.map((share) => ({
    name: `${100 * share} % of a core, cgroup v${version}`,
    seconds: 20,
    expects: "overload" as const,
    async begin(car) {
      group.limitCpu(share);
      return { happened: () => group.has(car.pid) && group.cpuShare === share, end: () => group.limitCpu(null) };
    },
  }));
