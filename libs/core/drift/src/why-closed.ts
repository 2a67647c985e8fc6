/** Why a verdict closes: another explains its devices, or they are not there any more, or they are as before. */
import type { DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import type { Absence, FleetView } from "./fleet-view.ts";
import type { Group } from "./group.ts";
import type { VerdictSettings } from "./settings.ts";

/** Null: it does not close yet (decide-verdicts.ts D5). */
export function whyClosed(
  verdict: DriftVerdict,
  current: ReadonlyMap<string, Group>,
  view: FleetView,
  now: Instant,
  { silentMs, holdMs }: VerdictSettings,
): string | null {
  const devices = new Set(verdict.devices.map(({ deviceId }) => deviceId));
  let [by, shared] = ["", 0];
  for (const [id, { members }] of current) {
    const both = members.filter(({ deviceId }) => devices.has(deviceId)).length;
    if (both > shared || (both === shared && both > 0 && id < by)) [by, shared] = [id, both];
  }
  if (shared > 0) return `superseded by ${by}`;
  const absences = new Set([...devices].map((id) => view.absence(id, verdict.modelDigest, now, silentMs)));
  const [absence, ...others] = absences;
  if (others.length === 0 && absence != null) return ABSENCE_WORDS[absence];
  // Golden frames and labels refute a verdict by themselves; inputs may only look as before for a moment.
  const isSudden = verdict.cause !== "PREPROCESSING" && verdict.cause !== "CONCEPT" && now - verdict.openedAt < holdMs;
  return isSudden ? null : overWords(verdict);
}

const ABSENCE_WORDS: Readonly<Record<NonNullable<Absence>, string>> = {
  unknown: "its devices are not registered any more",
  revoked: "its devices were revoked",
  "other-model": "its devices run another model now",
  updating: "its devices are updating their model",
  silent: "its cameras send no windows any more",
};

function overWords({ cause }: DriftVerdict): string {
  if (cause === "PREPROCESSING") return "its devices reproduce their golden frames again";
  return cause === "CONCEPT" ? "its labelled frames show no loss any more" : "its inputs are as before again";
}
