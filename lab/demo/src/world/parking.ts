/** When devices were parked, and which frames were answered with which table then. Claims about what is applied when rest on the frames' own
 * records in Kafka, not on what a device or rollout-manager reports. */
import { type EdgePredictions, topics } from "@tributary/contracts";
import { type Following, follow, type PartitionReader } from "@tributary/kafka";
import { askLight, type Stack } from "@tributary/stack";
import { followContext } from "@tributary/testing";

/** A prediction's age is rounded, and a batch takes a while into Kafka. */
const SLACK_MS = 1_500;
/** A report that a device is parked holds for 30 s (updates.parkedMsMax). */
const REPORT_EVERY_MS = 10_000;

type Interval = { readonly from: number; until: number };

export class Parking {
  readonly #stack: Stack;
  readonly #parked = new Map<string, Interval[]>();
  /** When a device's first frame with a table was taken, by table. */
  readonly #first = new Map<string, Map<string, number>>();
  readonly #stopping = new AbortController();
  #following: Following | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Reports reach the devices in the order in which they were made. */
  #reported: Promise<void> = Promise.resolve();
  /** Frames by table, "" is none. */
  readonly frames = new Map<string, number>();

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  async start(reader: PartitionReader): Promise<void> {
    const context = followContext(reader, this.#stopping.signal);
    this.#following = await follow(
      context,
      topics.predictions,
      (batch, { timestamp }) => batch && this.#take(batch, Number(timestamp)),
    );
    this.#timer = setInterval(() => this.#repeat(), REPORT_EVERY_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#following?.ended;
  }

  async park(deviceIds: readonly string[], parked: boolean): Promise<void> {
    const now = Date.now();
    for (const deviceId of deviceIds) {
      const intervals = this.#parked.get(deviceId) ?? [];
      this.#parked.set(deviceId, intervals);
      const last = intervals.at(-1);
      if (parked) intervals.push({ from: now, until: Number.POSITIVE_INFINITY });
      else if (last !== undefined && last.until > now) last.until = now;
    }
    await this.#report(deviceIds, parked);
  }

  #repeat(): void {
    const parked = [...this.#parked].filter(([, intervals]) => intervals.at(-1)?.until === Number.POSITIVE_INFINITY);
    const deviceIds = parked.map(([deviceId]) => deviceId);
    // Devices of a stack that stops hear of nothing any more.
    void this.#report(deviceIds, true).catch(() => undefined);
  }

  #report(deviceIds: readonly string[], parked: boolean): Promise<void> {
    const report = this.#reported.then(async () => {
      await askLight(this.#stack.light, "/v1/conditions", deviceIds, { parked });
    });
    this.#reported = report.catch(() => undefined);
    return report;
  }

  /** Devices whose first frame with this table was taken while they were parked, and those for which it was not. */
  applied(digest: string): { readonly parked: readonly string[]; readonly driving: readonly string[] } {
    const [parked, driving]: [string[], string[]] = [[], []];
    for (const [deviceId, at] of this.#first.get(digest) ?? []) {
      const isParked = (this.#parked.get(deviceId) ?? []).some(
        ({ from, until }) => at >= from - SLACK_MS && at <= until + SLACK_MS,
      );
      (isParked ? parked : driving).push(deviceId);
    }
    return { parked, driving };
  }

  #take({ deviceId, predictions }: EdgePredictions, receivedAt: number): void {
    for (const { worldDigest, ageMs } of predictions) {
      const digest = worldDigest ?? "";
      this.frames.set(digest, (this.frames.get(digest) ?? 0) + 1);
      const first = this.#first.get(digest) ?? new Map<string, number>();
      this.#first.set(digest, first);
      const at = receivedAt - ageMs;
      if (at < (first.get(deviceId) ?? Number.POSITIVE_INFINITY)) first.set(deviceId, at);
    }
  }
}
