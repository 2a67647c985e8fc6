/**
 * What the device says of itself: its state at boot and on change, and a window of metrics and sketches at a time.
 *
 * Without room in the outbox (updater.ts X1), nothing is lost but punctuality: the window stays open and the state is told later.
 */
import {
  Classifications,
  DeviceAcks,
  DeviceDesired,
  type DeviceReported,
  PERCEPTION,
  RoutingPolicy,
} from "@tributary/contracts";
import type { Inference } from "@tributary/inference";
import type { AgentConfig } from "./config.ts";
import { monotonicMs } from "./device-time.ts";
import type { Captured } from "./outbox/age.ts";
import type { OutboxKeeper } from "./outbox/keeper.ts";
import { reportBody } from "./outbox/records.ts";
import type { ReportStream } from "./outbox/rows.ts";
import type { LocalAnswer } from "./pipeline.ts";
import type { Slot } from "./slots.ts";
import type { UpdateNow } from "./updates/updater.ts";
import { type WindowModel, Windows } from "./windows.ts";

export const AGENT_VERSION = "0.1.0";
/** How often a window reads the device's health. */
const HEALTH_MS = 5_000;
/** How often the progress of a download is told; anything else at once. */
const PROGRESS_MS = 2_000;
/** In a report; the log has all of it. */
const REASON_LENGTH_MAX = 1_000;

export type ReportsPorts = {
  readonly config: AgentConfig;
  readonly slot: () => Slot;
  readonly update: () => { readonly generation: bigint; readonly now: UpdateNow | null };
  readonly outbox: Pick<OutboxKeeper, "hasRoomForReports" | "append">;
  readonly now: () => Captured;
  /** Readings of the moment, by metric name. */
  readonly health: () => Readonly<Record<string, number>>;
  /** Totals since the boot, by metric name; a window tells what was added. */
  readonly totals: () => Readonly<Record<string, number>>;
};

export class Reports {
  readonly #ports: ReportsPorts;
  readonly #windows: Windows;
  readonly #told = new Map<string, number>();
  #timers: NodeJS.Timeout[] = [];
  /** The state is still to be told. */
  #isUntold = false;
  #toldState = "";
  #toldMilestone = "";
  #toldAtMs = 0;

  constructor(ports: ReportsPorts) {
    this.#ports = ports;
    this.#windows = new Windows(monotonicMs());
  }

  start(): void {
    const health = () => {
      for (const [name, value] of Object.entries(this.#ports.health())) this.#windows.device(name, value);
      if (this.#isUntold) this.state();
    };
    this.#timers = [
      setInterval(health, HEALTH_MS),
      setInterval(() => this.closeWindow(), this.#ports.config.windows.lengthMs),
    ];
  }

  /** The window at hand is told as it is. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.closeWindow();
  }

  answered(slot: Slot, answer: LocalAnswer, inference: Inference): void {
    this.#windows.answered(slot.window, answer, inference);
  }

  /** Of a model, beside its answers. */
  ofModel(model: WindowModel, name: string, value: number): void {
    this.#windows.ofModel(model, name, value);
  }

  closeWindow(): void {
    if (!this.#ports.outbox.hasRoomForReports) return;
    for (const [name, total] of Object.entries(this.#ports.totals())) {
      this.#windows.device(name, total - (this.#told.get(name) ?? 0));
      this.#told.set(name, total);
    }
    const { metrics, sketches } = this.#windows.close(monotonicMs());
    this.#append("metrics", metrics);
    for (const sketch of sketches) this.#append("sketches", sketch);
  }

  /** What runs now, if it is not what was told last. */
  state(): void {
    const { config, outbox } = this.#ports;
    const { pkg, policy, goldenPassed } = this.#ports.slot();
    const { generation, now: update } = this.#ports.update();
    // Who waits for down/acks says so: a bridge warns of devices behind a foreign broker that do not.
    const accepted = [
      RoutingPolicy,
      Classifications,
      DeviceDesired,
      ...(config.mqtt.acks === "kafka" ? [DeviceAcks] : []),
    ];
    const slot = { modelDigest: pkg.digest, modelName: pkg.manifest.name, modelVersion: pkg.manifest.version };
    const state: State = {
      agentVersion: AGENT_VERSION,
      hardwareClass: config.hardwareClass,
      generation,
      slots: { [PERCEPTION]: slot },
      policyVersion: policy.policy.policyVersion,
      acceptedSchemas: accepted.flatMap((codec) => codec.versions.map((v) => v.fingerprint)),
      cameras: config.cameras.map(({ id }) => id),
      update: update && toldOf(update),
      goldenPassed,
    };
    const [all, butProgress] = [reportBody(state), reportBody({ ...state, update: update && milestone(update) })];
    if (all === this.#toldState) {
      this.#isUntold = false;
      return;
    }
    const isProgress = butProgress === this.#toldMilestone;
    this.#isUntold = !outbox.hasRoomForReports || (isProgress && monotonicMs() - this.#toldAtMs < PROGRESS_MS);
    if (this.#isUntold) return;
    this.#toldState = all;
    this.#toldMilestone = butProgress;
    this.#toldAtMs = monotonicMs();
    this.#append("reported", state);
  }

  /** An outbox that was opened anew is another boot, which has told nothing yet. */
  tellAgain(): void {
    this.#toldState = "";
    this.#toldMilestone = "";
    this.state();
  }

  #append(stream: ReportStream, body: unknown): void {
    const { outbox, now } = this.#ports;
    outbox.append({ kind: "report", stream, closed: now(), body: reportBody(body) });
  }
}

type State = Omit<DeviceReported, "deviceId" | "bootId" | "seq" | "clockState">;

const toldOf = (update: UpdateNow): NonNullable<DeviceReported["update"]> => ({
  ...update,
  slot: PERCEPTION,
  reason: update.reason.slice(0, REASON_LENGTH_MAX),
  bytesDone: BigInt(update.bytesDone),
  bytesAll: BigInt(update.bytesAll),
});

const milestone = ({ bytesDone: _, ...update }: UpdateNow) => update;
