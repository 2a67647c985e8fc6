/** The fleet as the verdict writer sees it: findings, attributes and golden reports of all devices, and their packages. */
import type { DeviceRegistration, DeviceReported } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { DriftReference } from "./drift-reference.ts";
import type { DeviceFindings } from "./findings.ts";

export type GoldenOutcome =
  | "passed"
  | "failed"
  | "not-reported"
  | "digest-foreign"
  | "logits-invalid"
  | "package-unknown";

export class FleetView {
  /** Null: the device is gone. */
  registered(_deviceId: string, _registration: DeviceRegistration | null): void {}

  /** Null: forgotten. `receivedAt`: time of the record. */
  reported(_deviceId: string, _report: DeviceReported | null, _receivedAt: Instant): GoldenOutcome {
    return "passed";
  }

  /** Null: forgotten. */
  found(_deviceId: string, _findings: DeviceFindings | null): void {}

  /** Null: the package is not known any more. */
  package(_modelDigest: string, _reference: DriftReference | null): void {}

  /** Digests of packages that devices run and whose reference is not known. */
  get wanted(): ReadonlySet<string> {
    return new Set();
  }
}
