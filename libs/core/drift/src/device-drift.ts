/** One device's state. */
import type { EdgePredictions, EdgeSketches, GroundTruth } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { DriftReference } from "./drift-reference.ts";
import type { DeviceFindings } from "./findings.ts";
import type { LabelOutcome, SketchOutcome } from "./outcomes.ts";

export type FoldSettings = {
  /** Streams of the whole fleet: cameras x streams of a camera; see `fleetStreams`. */
  readonly streams: number;
};

export class DeviceDrift {
  readonly deviceId: string;

  constructor(deviceId: string) {
    this.deviceId = deviceId;
  }

  /** Throws Failure `drift-state-invalid`. */
  static decode(deviceId: string, _bytes: Uint8Array): DeviceDrift {
    return new DeviceDrift(deviceId);
  }

  encode(): Uint8Array {
    return new Uint8Array();
  }

  /** `endedAt`: end of the window by the time of receipt, not by the device's clock. `now`: time of receipt. */
  sketch(
    _record: EdgeSketches,
    _endedAt: Instant,
    _now: Instant,
    _reference: DriftReference | undefined,
    _settings: FoldSettings,
  ): SketchOutcome {
    return "folded";
  }

  /** Remembers the frames that the random sample drew; how many. `receivedAt`: when the batch was received. */
  predictions(_batch: EdgePredictions, _receivedAt: Instant, _reference: DriftReference | undefined): number {
    return 0;
  }

  groundTruth(_truth: GroundTruth, _reference: DriftReference | undefined): LabelOutcome {
    return "used";
  }

  findings(): DeviceFindings {
    return { deviceId: this.deviceId, cameras: [], draws: [], drawsDigest: "" };
  }
}
