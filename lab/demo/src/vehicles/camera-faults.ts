/** What happens to a vehicle's camera, and to clocks. */
import { every, type Fault } from "./fault.ts";

const FAST = 60;
const HOUR_MS = 3_600_000;
/** Forwards, and back twice. */
const CAMERA_CLOCK_MS = [HOUR_MS, 2 * HOUR_MS, HOUR_MS, 0];
const WALL_CLOCK_MS = [HOUR_MS, -HOUR_MS, 24 * HOUR_MS, -30_000, 0];

const scene = (name: string, scene: "cut" | "frozen" | "dark"): Fault => ({
  name,
  seconds: 20,
  expects: "safe",
  async begin(car) {
    car.order({ scene });
    return () => car.order({ scene: "road" });
  },
});

export const cameraFaults: readonly Fault[] = [
  scene("nine JPEGs in ten cut", "cut"),
  scene("frozen, with a running clock", "frozen"),
  scene("noise in the dark", "dark"),
  {
    name: "the camera's clock jumps",
    seconds: 20,
    expects: "kept",
    async begin(car) {
      const end = every(4, (turn) => car.order({ stampOffsetMs: CAMERA_CLOCK_MS[turn % CAMERA_CLOCK_MS.length] ?? 0 }));
      return () => {
        end();
        car.order({ stampOffsetMs: 0 });
      };
    },
  },
  {
    name: "the agent's wall clock jumps",
    seconds: 20,
    expects: "kept",
    async begin(car) {
      const end = every(3, (turn) => car.setClock(WALL_CLOCK_MS[turn % WALL_CLOCK_MS.length] ?? 0));
      return () => {
        end();
        car.setClock(0);
      };
    },
  },
  {
    name: `${FAST} frames a second`,
    seconds: 30,
    fps: FAST,
    expects: "kept",
    async begin(car) {
      const { fps } = car;
      car.order({ fps: FAST });
      return () => car.order({ fps });
    },
  },
];
