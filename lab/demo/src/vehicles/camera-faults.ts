/** What happens to a vehicle's camera, and to clocks. */
import type { Car } from "./car.ts";
import { every, type Fault } from "./fault.ts";

const [FAST, FAST_SECONDS] = [60, 30];
const HOUR_MS = 3_600_000;
/** Forwards, and back twice. */
const CAMERA_CLOCK_MS = [HOUR_MS, 2 * HOUR_MS, HOUR_MS, 0];
const [WALL_CLOCK_EVERY_S, LAST_TURN] = [3, 6];
const WALL_CLOCK_MS = [HOUR_MS, -HOUR_MS, 24 * HOUR_MS, -30_000, 0];

const SECONDS = 20;
/** The camera has to have shown this share of the frames that were ordered. */
const SHOWN_SHARE_MIN = 0.9;

/** What the camera has shown since then. */
const shownSince = (car: Car, atMs: number) => car.shown.filter(({ capturedMs }) => capturedMs >= atMs);

const scene = (name: string, scene: "cut" | "frozen" | "dark"): Fault => ({
  name,
  seconds: SECONDS,
  expects: "safe",
  async begin(car) {
    const fromMs = car.nowMs;
    car.order({ scene });
    const happened = () =>
      shownSince(car, fromMs).filter(({ sent }) => sent === scene).length > SHOWN_SHARE_MIN * SECONDS * car.fps;
    return { happened, end: () => car.order({ scene: "road" }) };
  },
});

export const cameraFaults: readonly Fault[] = [
  scene("nine JPEGs in ten cut", "cut"),
  scene("frozen, with a running clock", "frozen"),
  scene("noise in the dark", "dark"),
  {
    name: "the camera's clock jumps",
    seconds: SECONDS,
    expects: "kept",
    async begin(car) {
      const fromMs = car.nowMs;
      const endTurns = every(4, (turn) =>
        car.order({ stampOffsetMs: CAMERA_CLOCK_MS[turn % CAMERA_CLOCK_MS.length] ?? 0 }),
      );
      const happened = () => {
        const offsets = shownSince(car, fromMs).map(({ capturedMs, stampUs }) => stampUs / 1_000 - capturedMs);
        return new Set(offsets.map((ms) => Math.round(ms / HOUR_MS))).size === new Set(CAMERA_CLOCK_MS).size;
      };
      const end = () => {
        endTurns();
        car.order({ stampOffsetMs: 0 });
      };
      return { happened, end };
    },
  },
  {
    name: "the agent's wall clock jumps",
    seconds: SECONDS,
    expects: "kept",
    async begin(car) {
      const endTurns = every(WALL_CLOCK_EVERY_S, (turn) =>
        car.setClock(WALL_CLOCK_MS[turn % WALL_CLOCK_MS.length] ?? 0),
      );
      const end = () => {
        endTurns();
        car.setClock(0);
      };
      return { happened: () => car.hasClock(WALL_CLOCK_MS[LAST_TURN % WALL_CLOCK_MS.length] ?? 0), end };
    },
  },
  {
    name: `${FAST} frames a second`,
    seconds: FAST_SECONDS,
    fps: FAST,
    expects: "kept",
    async begin(car) {
      const [{ fps }, fromMs] = [car, car.nowMs];
      car.order({ fps: FAST });
      const happened = () => shownSince(car, fromMs).length > SHOWN_SHARE_MIN * FAST_SECONDS * FAST;
      return { happened, end: () => car.order({ fps }) };
    },
  },
];
