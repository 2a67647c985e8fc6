import { ConfigError, httpUrl, sharedBlocks } from "@tributary/config";
import { type DetectorSettings, detectorDefaults, type VerdictSettings, verdictDefaults } from "@tributary/drift";
import { isPackageName, modelReferenceOf, PACKAGE_EXPECTED } from "@tributary/models";
import { z } from "zod";

const positive = z.number().int().positive();
const MINUTE = 60_000;
const DAY = 86_400_000;

/** The consumer group. */
export const GROUP = "drift-monitor";

export const configSchema = z.strictObject({
  ...sharedBlocks,
  /** Packages that are known before a device runs them, and never dropped: folders of those that the model registry does not have,
   * e.g. those that devices were set up with, and NAME@VERSION or NAME@ALIAS of the registry. */
  packages: z.array(z.string().min(1).refine(isPackageName, PACKAGE_EXPECTED)).max(100).default([]),
  /** Where the documents of a package are fetched from; without it only `packages` are known. */
  modelRegistry: z
    .strictObject({
      url: httpUrl,
      token: z.string().min(1).optional(),
      /** Of one document. */
      timeoutMs: positive.max(60_000).default(5_000),
    })
    .optional(),
  /** What counts as a change of a camera's pictures. */
  detector: z
    .strictObject({
      /** Windows of a camera that are learned before the first is compared with them. */
      baselineWindows: positive.min(8).max(10_000).default(detectorDefaults.baselineWindows),
      /** Windows after which nothing more is learned. */
      baselineWindowsMax: positive.max(100_000).default(detectorDefaults.baselineWindowsMax),
      /** Parts of the day, in UTC, of which each is compared with its own past: outdoor cameras want 8, or every evening is
       * a change. */
      dayParts: positive.max(24).default(detectorDefaults.dayParts),
      /** Windows as before the change after which an alarm is over. */
      clearWindows: positive.max(10_000).default(detectorDefaults.clearWindows),
    })
    .prefault({}),
  verdicts: z
    .strictObject({
      /** How often the fleet is looked at. */
      lookEveryMs: positive.min(250).max(3_600_000).default(30_000),
      /** Age of its first alarm at which a verdict opens: other devices of its group join first. */
      settleMs: z.number().int().min(0).max(DAY).default(verdictDefaults.settleMs),
      /** For so long after it opened a verdict is provisional: no training starts from it, and it does not close for a wobble. */
      holdMs: z.number().int().min(0).max(DAY).default(verdictDefaults.holdMs),
      /** A camera that sent no window for this time is not compared. */
      silentMs: positive.max(30 * DAY).default(verdictDefaults.silentMs),
      /** Closed verdicts are kept for this time. */
      closedDaysMax: positive.max(3_650).default(90),
    })
    .prefault({}),
  /** Whether frames are lost: the error rate of labelled frames of the random sample. */
  loss: z
    .strictObject({
      /** Allowed excess of a class's error rate over that on the package's validation set. */
      tolerance: z.number().min(0).max(0.5).default(verdictDefaults.tolerance),
      /** Probability of a wrongly claimed loss. */
      alpha: z.number().min(1e-6).max(0.5).default(verdictDefaults.alpha),
      /** The smallest propensity that a routing policy of the fleet has. */
      propensityMin: z.number().min(1e-4).max(1).default(verdictDefaults.propensityMin),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** Packages whose documents are in memory. */
      packagesMax: positive.max(10_000).default(500),
      /** Longest wait between two attempts to fetch the documents of a package. */
      packageRetryMsMax: positive
        .min(1_000)
        .max(DAY)
        .default(5 * MINUTE),
      /** A device that is silent for this time is forgotten. */
      deviceIdleDaysMax: positive.max(3_650).default(30),
    })
    .prefault({}),
});

export type DriftMonitorConfig = z.output<typeof configSchema>;

/** Checks the bounds against each other. */
export function checkConfig({ detector, verdicts, limits, packages, modelRegistry }: DriftMonitorConfig): void {
  const problems: string[] = [];
  for (const [i, name] of packages.entries()) {
    if (modelRegistry !== undefined || modelReferenceOf(name) === null) continue;
    problems.push(`packages[${i}]: ${name} is a model of the registry: modelRegistry.url needed`);
  }
  if (detector.baselineWindowsMax < detector.baselineWindows) {
    problems.push("detector.baselineWindowsMax: at least detector.baselineWindows");
  }
  if (verdicts.silentMs < verdicts.lookEveryMs) {
    problems.push("verdicts.silentMs: at least verdicts.lookEveryMs, or cameras are silent between two looks");
  }
  if (limits.deviceIdleDaysMax * DAY <= verdicts.silentMs) {
    problems.push(
      "limits.deviceIdleDaysMax: longer than verdicts.silentMs, or cameras are forgotten before they are silent",
    );
  }
  if (problems.length > 0) throw new ConfigError("configuration", problems);
}

export const detectorSettingsOf = ({ detector }: DriftMonitorConfig): DetectorSettings => ({
  ...detectorDefaults,
  ...detector,
});

export const verdictSettingsOf = ({ verdicts, loss }: DriftMonitorConfig): VerdictSettings => ({
  settleMs: verdicts.settleMs,
  holdMs: verdicts.holdMs,
  silentMs: verdicts.silentMs,
  tolerance: loss.tolerance,
  alpha: loss.alpha,
  propensityMin: loss.propensityMin,
});
