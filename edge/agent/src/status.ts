/** `/v1/status`, the health of the agent, and its gauges. */
import type { ModelPackage } from "@tributary/inference";
import type { Telemetry } from "@tributary/telemetry";
import type { Camera } from "./cameras/camera.ts";
import type { FrameQueue } from "./cameras/frame-queue.ts";
import type { ModelKeeper } from "./model-keeper.ts";
import type { Captured } from "./outbox/age.ts";
import type { Outbox } from "./outbox/outbox.ts";
import type { PolicyKeeper } from "./policy-keeper.ts";
import { AGENT_VERSION } from "./reports.ts";
import type { Tally } from "./tally.ts";
import type { Uplink } from "./uplink.ts";

export type StatusParts = {
  readonly deviceId: string;
  readonly now: () => Captured;
  readonly pkg: ModelPackage;
  readonly model: ModelKeeper;
  readonly policy: PolicyKeeper;
  readonly outbox: Outbox;
  readonly uplink: Uplink;
  readonly cameras: readonly Camera[];
  readonly queues: readonly FrameQueue[];
  readonly tally: Tally;
};

export const skippedOf = (queues: readonly FrameQueue[]): number =>
  queues.reduce((sum, queue) => sum + queue.skipped, 0);

export const statusOf = (parts: StatusParts) => {
  const { pkg, model, policy, outbox, tally, queues } = parts;
  return {
    deviceId: parts.deviceId,
    bootId: outbox.opened.bootId,
    agentVersion: AGENT_VERSION,
    clockState: parts.now().wallMs === null ? "UNSYNCHRONIZED" : "SYNCHRONIZED",
    online: parts.uplink.online,
    model: {
      name: pkg.manifest.name,
      version: pkg.manifest.version,
      digest: pkg.digest,
      running: model.current !== undefined,
      pid: model.current?.pid ?? null,
      losses: tally.modelLosses,
    },
    policy: { version: policy.policy.policyVersion, from: policy.origin },
    cameras: parts.cameras.map(({ id, kind, state }, i) => ({
      id,
      kind,
      state,
      arrived: queues[i]?.arrived ?? 0,
      skipped: queues[i]?.skipped ?? 0,
      waiting: queues[i]?.waiting ?? 0,
    })),
    frames: tally.frames,
    kept: tally.kept,
    /** By reason: sent, or waiting to be. */
    sent: tally.sent,
    /** By why not, of the frames that were wanted. */
    dropped: tally.dropped,
    unreadable: tally.unreadable,
    unrecorded: tally.unrecorded,
    skipped: skippedOf(queues),
    outbox: { ...outbox.stats, uncommitted: outbox.appended - outbox.committed, broken: outbox.broken ?? null },
    uplink: { records: tally.sentRecords, bytes: tally.sentBytes },
    finalAnswers: tally.finals,
    latencyMs: tally.latencyMs(),
  };
};

/** A broken outbox does not stop local answers; somebody has to look, though. */
export const notLive = ({ outbox }: StatusParts): readonly string[] =>
  outbox.broken === undefined ? [] : [`outbox: ${outbox.broken}`];

export const notReady = (parts: StatusParts): readonly string[] => [
  ...(parts.model.current === undefined ? ["model: it is being loaded again"] : []),
  ...notLive(parts),
];

export function exportGauges(telemetry: Telemetry, { outbox, uplink, model }: StatusParts): void {
  const gauge = (name: string, help: string, read: () => number) =>
    telemetry.gauge({ name: `tributary_agent_${name}`, help }, read);
  gauge("outbox_bytes", "Bytes the outbox holds", () => outbox.stats.bytes);
  gauge("outbox_frames", "Frames that wait with their image", () => outbox.stats.frames);
  gauge("outbox_predictions", "Predictions that wait", () => outbox.stats.predictions);
  gauge("outbox_unacked_records", "Records sent and not acknowledged", () => outbox.stats.unacked);
  gauge("outbox_uncommitted_items", "Items not yet on disk", () => outbox.appended - outbox.committed);
  gauge("online", "1 while connected", () => (uplink.online ? 1 : 0));
  gauge("model_running", "1 while the model's process runs", () => (model.current === undefined ? 0 : 1));
}
