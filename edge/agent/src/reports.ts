/**
 * The reports of the device about itself: its state at boot and on change, and one window of metrics and sketches after
 * another. A window also ends when the model or its temperature changes (windows.ts V2).
 *
 * Without room in the outbox (outbox.ts X1), the window stays open and the state is reported later.
 */
import {
  Classifications,
  DeviceAcks,
  DeviceDesired,
  type DeviceReported,
  PERCEPTION,
  RoutingPolicy,
  WORLD,
} from "@tributary/contracts";
import type { Inference } from "@tributary/inference";
import type { WorldPackage } from "@tributary/model-store";
import type { AgentConfig } from "./config.ts";
import { monotonicMs } from "./device-time.ts";
import type { GoldenReport } from "./golden-check.ts";
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
/** How often the progress of a download is reported; anything else is at once. */
const PROGRESS_MS = 2_000;
/** In a report; the log has all of it. */
const REASON_LENGTH_MAX = 1_000;

export type ReportsPorts = {
  readonly config: AgentConfig;
  readonly slot: () => Slot;
  /** Of the slot that moved last. */
  readonly update: () => { readonly generation: bigint; readonly now: UpdateNow | null; readonly slot: string };
  /** The world model in use; null: none. */
  readonly world: () => Pick<WorldPackage, "digest" | "manifest"> | null;
  /** Of the active model. */
  readonly golden: () => GoldenReport | null;
  readonly driving: () => DeviceReported["driving"];
  readonly outbox: Pick<OutboxKeeper, "hasRoomForReports" | "append">;
  readonly now: () => Captured;
  /** Readings of the moment, by metric name. */
  readonly health: () => Readonly<Record<string, number>>;
  /** Totals since the boot, by metric name; a window reports what was added. */
  readonly totals: () => Readonly<Record<string, number>>;
};

export class Reports {
  readonly #ports: ReportsPorts;
  readonly #windows: Windows;
  readonly #reportedTotals = new Map<string, number>();
  #timers: NodeJS.Timeout[] = [];
  /** The state is still to be reported. */
  #isPending = false;
  #reportedState = "";
  #reportedMilestone = "";
  #reportedAtMs = 0;

  constructor(ports: ReportsPorts) {
    this.#ports = ports;
    this.#windows = new Windows(monotonicMs());
  }

  start(): void {
    const health = () => {
      for (const [name, value] of Object.entries(this.#ports.health())) this.#windows.device(name, value);
      if (this.#isPending) this.state();
    };
    this.#timers = [
      setInterval(health, HEALTH_MS),
      setInterval(() => this.closeWindow(), this.#ports.config.windows.lengthMs),
    ];
  }

  /** The open window is reported as it is. */
  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.closeWindow();
  }

  /** A repeated label says nothing of a model. */
  answered(slot: Slot, answer: LocalAnswer, inference: Inference): void {
    if (answer.level === "STALE" || answer.level === "CLOUD") return;
    if (answer.level === "LITE") {
      this.#windows.answeredBeside(slot.window, answer, inference);
      return;
    }
    const { temperature } = slot.policy.policy;
    if (!this.#windows.fits(slot.window, temperature)) this.closeWindow();
    this.#windows.answered(slot.window, temperature, answer, inference);
  }

  /** Of a model, beside its answers. */
  ofModel(model: Pick<WindowModel, "modelDigest">, name: string, value: number): void {
    this.#windows.ofModel(model, name, value);
  }

  closeWindow(): void {
    if (!this.#ports.outbox.hasRoomForReports) return;
    for (const [name, total] of Object.entries(this.#ports.totals())) {
      this.#windows.device(name, total - (this.#reportedTotals.get(name) ?? 0));
      this.#reportedTotals.set(name, total);
    }
    const { metrics, sketches } = this.#windows.close(monotonicMs());
    this.#append("metrics", metrics);
    for (const sketch of sketches) this.#append("sketches", sketch);
  }

  /** The present state, if it is not the one reported last. */
  state(): void {
    const { config, outbox } = this.#ports;
    const { pkg, policy, goldenPassed } = this.#ports.slot();
    const { generation, now: update, slot } = this.#ports.update();
    const world = this.#ports.world();
    // A device that waits for down/acks reports it: a bridge warns of devices behind a foreign broker that do not.
    const accepted = [
      RoutingPolicy,
      Classifications,
      DeviceDesired,
      ...(config.mqtt.acks === "kafka" ? [DeviceAcks] : []),
    ];
    const state: State = {
      agentVersion: AGENT_VERSION,
      hardwareClass: config.hardwareClass,
      generation,
      slots: { [PERCEPTION]: slotStateOf(pkg), ...(world && { [WORLD]: slotStateOf(world) }) },
      policyVersion: policy.policy.policyVersion,
      acceptedSchemas: accepted.flatMap((codec) => codec.versions.map((v) => v.fingerprint)),
      cameras: config.cameras.map(({ id }) => id),
      update: update && updateReportOf(update, slot),
      goldenPassed,
      golden: this.#ports.golden(),
      driving: this.#ports.driving(),
    };
    const [all, butProgress] = [reportBody(state), reportBody({ ...state, update: update && milestone(update) })];
    if (all === this.#reportedState) {
      this.#isPending = false;
      return;
    }
    const isProgress = butProgress === this.#reportedMilestone;
    this.#isPending = !outbox.hasRoomForReports || (isProgress && monotonicMs() - this.#reportedAtMs < PROGRESS_MS);
    if (this.#isPending) return;
    this.#reportedState = all;
    this.#reportedMilestone = butProgress;
    this.#reportedAtMs = monotonicMs();
    this.#append("reported", state);
  }

  /** An outbox that was opened again is another boot, which has reported nothing yet. */
  reportAgain(): void {
    this.#reportedState = "";
    this.#reportedMilestone = "";
    this.state();
  }

  #append(stream: ReportStream, body: unknown): void {
    const { outbox, now } = this.#ports;
    outbox.append({ kind: "report", stream, closed: now(), body: reportBody(body) });
  }
}

export const slotStateOf = ({
  digest,
  manifest: { name, version },
}: Pick<WorldPackage | Slot["pkg"], "digest" | "manifest">) => ({
  modelDigest: digest,
  modelName: name,
  modelVersion: version,
});

type State = Omit<DeviceReported, "deviceId" | "bootId" | "seq" | "clockState">;

const updateReportOf = (update: UpdateNow, slot: string): NonNullable<DeviceReported["update"]> => ({
  ...update,
  slot,
  reason: update.reason.slice(0, REASON_LENGTH_MAX),
  bytesDone: BigInt(update.bytesDone),
  bytesAll: BigInt(update.bytesAll),
});

const milestone = ({ bytesDone: _, ...update }: UpdateNow) => update;
