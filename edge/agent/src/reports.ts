/**
 * What the device says of itself: its state at boot and on change, and a window of metrics and sketches at a time.
 *
 * Without room in the outbox (X1), nothing is lost but punctuality: the window stays open and the state is told later.
 */
import { Classifications, DeviceAcks, type DeviceReported, RoutingPolicy } from "@tributary/contracts";
import type { Inference, ModelPackage } from "@tributary/inference";
import type { AgentConfig } from "./config.ts";
import { monotonicMs } from "./device-time.ts";
import type { Captured } from "./outbox/age.ts";
import type { OutboxKeeper } from "./outbox/keeper.ts";
import { reportBody } from "./outbox/records.ts";
import type { ReportStream } from "./outbox/rows.ts";
import type { LocalAnswer } from "./pipeline.ts";
import { Windows } from "./windows.ts";

export const AGENT_VERSION = "0.1.0";
const PERCEPTION = "perception";
/** How often a window reads the device's health. */
const HEALTH_MS = 5_000;

export type ReportsPorts = {
  readonly config: AgentConfig;
  readonly pkg: ModelPackage;
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
  /** Policy of the state that is still to be told. */
  #untold: string | undefined;

  constructor(ports: ReportsPorts) {
    this.#ports = ports;
    const { pkg } = ports;
    this.#windows = new Windows(
      {
        modelDigest: pkg.digest,
        preprocessingDigest: pkg.preprocessingDigest,
        reference: pkg.referenceSketch,
        latencyBudgetMs: pkg.manifest.latencyBudgetMs,
      },
      monotonicMs(),
    );
  }

  start(): void {
    const health = () => {
      for (const [name, value] of Object.entries(this.#ports.health())) this.#windows.device(name, value);
      if (this.#untold !== undefined) this.state(this.#untold);
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

  answered(answer: LocalAnswer, inference: Inference): void {
    this.#windows.answered(answer, inference);
  }

  closeWindow(): void {
    if (!this.#ports.outbox.hasRoomForReports) return;
    for (const [name, total] of Object.entries(this.#ports.totals())) {
      this.#windows.device(name, total - (this.#told.get(name) ?? 0));
      this.#told.set(name, total);
    }
    const { metrics, sketches } = this.#windows.close(monotonicMs());
    this.#append("metrics", metrics);
    if (sketches !== undefined) this.#append("sketches", sketches);
  }

  state(policyVersion: string): void {
    const { config, pkg, outbox } = this.#ports;
    this.#untold = outbox.hasRoomForReports ? undefined : policyVersion;
    if (this.#untold !== undefined) return;
    // Who waits for down/acks says so: a bridge warns of devices behind a foreign broker that do not.
    const accepted = [RoutingPolicy, Classifications, ...(config.mqtt.acks === "kafka" ? [DeviceAcks] : [])];
    const slot = { modelDigest: pkg.digest, modelName: pkg.manifest.name, modelVersion: pkg.manifest.version };
    this.#append("reported", {
      agentVersion: AGENT_VERSION,
      hardwareClass: config.hardwareClass,
      generation: 0n,
      slots: { [PERCEPTION]: slot },
      policyVersion,
      acceptedSchemas: accepted.flatMap((codec) => codec.versions.map((v) => v.fingerprint)),
      cameras: config.cameras.map(({ id }) => id),
      update: null,
      goldenPassed: null,
    } satisfies Omit<DeviceReported, "deviceId" | "bootId" | "seq" | "clockState">);
  }

  #append(stream: ReportStream, body: unknown): void {
    const { outbox, now } = this.#ports;
    outbox.append({ kind: "report", stream, closed: now(), body: reportBody(body) });
  }
}
