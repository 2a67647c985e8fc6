/** What was measured of the benign devices, alone and beside hostile ones, and what it means. */
import { percent } from "@tributary/testing";
import { type Check, check, type Findings } from "../scenario.ts";
import type { BenignDevice, Measured } from "./benign-device.ts";
import type { Way } from "./way.ts";
import type { Written } from "./written.ts";

const MIB = 1_024 * 1_024;
/** Of the cloud answers that the devices get alone. */
const CLOUD_SHARE_MIN = 0.98;
/** Devices that get less alone are on a machine that is too busy to compare anything. */
const ALONE_SHARE_MIN = 0.9;
/** The limit of a device's whole dead letters by limits.perDevice, and room for summaries. */
const deadLetterBytesMax = (seconds: number) => 4 * MIB + seconds * 64 * 1_024 + MIB;
/** Of router.state.v1 beside a device's own uplink, and to begin with. */
const STATE_PER_UPLINK_MAX = 10;
const STATE_BYTES_FIRST = 4 * MIB;
/** A router's room for draws: `fairness.drawShareMax` with `fairness.unverifiedDrawShareMax`, and what is there from the start. */
const DRAW_SHARE_MAX = 0.05 + 0.02;
const DRAWS_FIRST = 16;
/** Below this a doubled latency is noise. */
const PUBACK_MS_MIN = 10;

/** Of one device in one period. */
export type Turn = Measured & Pick<BenignDevice, "shown">;

export type Figures = {
  readonly cloudShare: number;
  readonly worstShare: number;
  /** The same of devices whose hardware is degraded; NaN without any. */
  readonly degradedShare: number;
  /** Reasons of answers that were not the cloud's, and how many. */
  readonly edge: string;
  readonly p50: number;
  readonly p99: number;
};

export function figuresOf(all: readonly Turn[]): Figures {
  const puback = all.flatMap(({ pubackMs }) => pubackMs).sort((a, b) => a - b);
  const at = (share: number) => puback[Math.min(puback.length - 1, Math.floor(share * puback.length))] ?? Number.NaN;
  const usual = all.filter(({ shown }) => shown.reason !== "FALLBACK");
  const worstShare = Math.min(...usual.map((one) => (one.asked === 0 ? 1 : one.cloud / one.asked)));
  const degraded = all.filter(({ shown }) => shown.reason === "FALLBACK");
  const shares = { cloudShare: shareOf(usual), worstShare, degradedShare: shareOf(degraded) };
  return { ...shares, edge: reasonsOf(all), p50: at(0.5), p99: at(0.99) };
}

function reasonsOf(all: readonly Turn[]): string {
  const reasons = Map.groupBy(
    all.flatMap(({ edge }) => edge),
    (reason) => reason,
  );
  return [...reasons].map(([reason, { length }]) => `${length} ${reason}`).join(", ");
}

function shareOf(all: readonly Turn[]): number {
  const asked = all.reduce((sum, one) => sum + one.asked, 0);
  return all.reduce((sum, one) => sum + one.cloud, 0) / asked;
}

const ms = (value: number) => `${value.toFixed(1)} ms`;

export function cloudChecks(alone: Figures, with_: Figures): readonly Check[] {
  const share = (which: "cloudShare" | "degradedShare", name: string) =>
    check(
      name,
      alone[which] >= ALONE_SHARE_MIN && with_[which] >= CLOUD_SHARE_MIN * alone[which],
      `${percent(alone[which])} alone, ${percent(with_[which])} beside it${with_.edge === "" ? "" : ` (${with_.edge})`}`,
    );
  return [
    share("cloudShare", `the others' cloud answers are at least ${percent(CLOUD_SHARE_MIN)} of those without it`),
    ...(Number.isNaN(alone.degradedShare) ? [] : [share("degradedShare", "and those of devices that are degraded")]),
  ];
}

export const pubackCheck = (alone: Figures, with_: Figures): Check =>
  check(
    "their PUBACK's p99 at most doubles",
    with_.p99 <= 2 * Math.max(alone.p99, PUBACK_MS_MIN),
    `${ms(alone.p99)} alone, ${ms(with_.p99)} beside it`,
  );

export const answeredCheck = (acknowledged: number, left: readonly string[]): Check =>
  check(
    "every acknowledged frame of theirs is answered",
    left.length === 0,
    `${acknowledged - left.length} of ${acknowledged}${left.length === 0 ? "" : `, without ${left.slice(0, 3).join(" ")}`}`,
  );

/** What `count` hostile devices did. */
export type Cost = Written & { readonly acknowledged: number; readonly seconds: number };

export function costChecks(way: Way, count: number, cost: Cost): readonly Check[] {
  const deadLetters = check(
    "its dead letters are within their limit",
    cost.deadLetterBytes <= count * deadLetterBytesMax(cost.seconds),
    `${(cost.deadLetterBytes / MIB).toFixed(1)} MiB in ${cost.deadLetters} records`,
  );
  const state = check(
    "its state is within its limit",
    cost.state <= count * STATE_BYTES_FIRST + STATE_PER_UPLINK_MAX * cost.uplink,
    `${(cost.state / MIB).toFixed(1)} MiB of state for ${(cost.uplink / MIB).toFixed(1)} MiB of uplink`,
  );
  return [deadLetters, state, ...acknowledgedChecks(way, cost), ...drawChecks(way, cost)];
}

/** Of a single device. */
function acknowledgedChecks({ acknowledgedMax }: Way, { acknowledged, seconds }: Cost): readonly Check[] {
  if (acknowledgedMax === undefined) return [];
  const most = acknowledgedMax.burst + acknowledgedMax.perSecond * seconds;
  const found = `${acknowledged} in ${seconds.toFixed(0)} s`;
  return [check("the bridge acknowledges no more of it than its rate", acknowledged <= most, found)];
}

/** Of a single device. */
function drawChecks({ isOfDraws }: Way, { frames, requests }: Cost): readonly Check[] {
  if (isOfDraws !== true) return [];
  const most = DRAWS_FIRST + DRAW_SHARE_MAX * frames;
  const found = `${requests} of ${frames} frames`;
  return [check("the cloud is asked for as many of its frames as a device may draw", requests <= most, found)];
}

export type Named = { readonly metrics: readonly string[]; readonly commandLine: string };

export function namedChecks({ named }: Way, { metrics, commandLine }: Named): readonly Check[] {
  if (named?.length === 0) return [];
  const isIn = (reasons: string) => (named === null ? reasons !== "" : named.some((one) => reasons.includes(one)));
  const listed = metrics.join(", ");
  return [
    check("metrics list it", isIn(listed), listed || "not named"),
    check("`tributary get devices` lists it", isIn(commandLine), commandLine || "not named"),
  ];
}

export const benignFigures = (alone: Figures, with_: Figures): Findings["figures"] => ({
  "benign: worst device's cloud share, alone": round(alone.worstShare),
  "benign: worst device's cloud share, with the attack": round(with_.worstShare),
  "benign: PUBACK p50 ms, alone": round(alone.p50),
  "benign: PUBACK p50 ms, beside it": round(with_.p50),
});

export const rogueFigures = (bytes: Written): Findings["figures"] => ({
  "rogue: cloud requests": bytes.requests,
  "rogue: uplink bytes": bytes.uplink,
  "rogue: state bytes": bytes.state,
  "hostile: dead letter bytes": bytes.deadLetterBytes,
});

const round = (value: number) => Number(value.toFixed(3));
