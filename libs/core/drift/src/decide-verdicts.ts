/**
 * Decides which verdicts open, change and close, from what is seen of the fleet at one moment.
 *
 * D1. Verdicts depend on the view, on the open verdicts and on the time: not on the order in which devices are seen or on who looked
 *     before. Open verdicts only decide what is otherwise a hair's breadth.
 * D2. A cause explains its devices: later questions are asked of the others.
 * D3. A verdict opens when its group has settled and is evidence enough. Until then an open verdict of the same devices stays as it is.
 * D4. A verdict closes when nothing is left of its evidence, or when its devices are in other verdicts.
 * D5. For `holdMs` after it opened a verdict is provisional: no training starts from it. It does not close for inputs that look as before for a
 *     moment, and no other cause takes its place, unless golden frames show it.
 * D6. What an open verdict has proven to be lost stays lost until labels refute it (loss.ts L2). */
import type { DriftVerdict } from "@tributary/contracts";
import type { Instant } from "@tributary/kernel";
import { conceptGroups } from "./concept-groups.ts";
import type { FleetView } from "./fleet-view.ts";
import { earliest, type Group, type Member, sinceOf } from "./group.ts";
import { inputGroups } from "./input-groups.ts";
import type { LossVerdict } from "./loss.ts";
import { lossOfMembers } from "./loss-of-members.ts";
import { preprocessingGroups } from "./preprocessing-groups.ts";
import { Previous } from "./previous.ts";
import type { VerdictSettings } from "./settings.ts";
import { type Findings, findingsOf, identityOf, idOf } from "./verdict.ts";
import { whyClosed } from "./why-closed.ts";

/** Cameras that changed in the same way may keep joining for so many times the time to settle. */
const SETTLE_MAX = 3;

/** The verdicts that are new or have changed, by id. `sha256Hex`: the core has no cryptography. */
export function decideVerdicts(
  view: FleetView,
  verdicts: ReadonlyMap<string, DriftVerdict>,
  now: Instant,
  settings: VerdictSettings,
  sha256Hex: (text: string) => string,
): readonly DriftVerdict[] {
  const previous = new Previous(verdicts);
  const groups = new Map<string, Group>();
  for (const group of groupsOf(view, previous, now, settings)) {
    const id = idOf(identityOf(group), sha256Hex);
    const same = groups.get(id);
    groups.set(id, same === undefined ? group : merged(same, group));
  }
  const unsettled = new Set<string>();
  const changed: DriftVerdict[] = [];
  const current = new Map<string, Group>();
  for (const [id, group] of groups) {
    const before = verdicts.get(id);
    const isWaiting =
      !group.opens || !hasSettled(group, now, settings) || isHeldOff(id, group, groups, previous, now, settings);
    if (before?.state !== "OPEN" && isWaiting) {
      for (const { deviceId } of group.members) unsettled.add(deviceId); // D3, D5
      continue;
    }
    current.set(id, group);
    const wasLost = before?.state === "OPEN" && before.loss.state === "LOST"; // D6
    const loss = group.loss ?? lossOfMembers(group.members, group.look, settings, wasLost);
    const verdict = updated(id, { ...group, loss }, before, now, settings);
    if (verdict !== null) changed.push(verdict);
  }
  for (const verdict of previous.open) {
    if (current.has(verdict.verdictId) || verdict.devices.some(({ deviceId }) => unsettled.has(deviceId))) continue;
    const closedBecause = whyClosed(verdict, current, view, now, settings);
    if (closedBecause === null) continue; // D5
    changed.push({ ...verdict, ...next(verdict), state: "CLOSED", updatedAt: now, closedAt: now, closedBecause }); // D4
  }
  return changed.sort((a, b) => (a.verdictId < b.verdictId ? -1 : 1));
}

function groupsOf(view: FleetView, previous: Previous, now: Instant, settings: VerdictSettings): readonly Group[] {
  const looks = view.look(now, settings.silentMs);
  const hasOtherModels =
    looks.filter(({ compared, goldenReported }) => compared.size + goldenReported.size > 0).length > 1;
  return looks.flatMap((look) => {
    const explained = new Set<string>(); // D2
    const explain = (groups: readonly Group[]) => {
      for (const { members } of groups) for (const { deviceId } of members) explained.add(deviceId);
      return groups;
    };
    return [
      ...explain(preprocessingGroups(look, previous, hasOtherModels)),
      ...explain(inputGroups(look, explained, previous, hasOtherModels)),
      ...conceptGroups(look, explained, previous, hasOtherModels, settings),
    ];
  });
}

function hasSettled({ members, joinedAt }: Group, now: Instant, { settleMs }: VerdictSettings): boolean {
  const age = now - earliest(members.map(({ alarmedAt }) => alarmedAt));
  return age >= SETTLE_MAX * settleMs || (age >= settleMs && now - joinedAt >= settleMs / 2);
}

/** Whether another cause is open at this place, provisional, and would close for this one (D5). */
function isHeldOff(
  id: string,
  { members, scope, look }: Group,
  groups: ReadonlyMap<string, Group>,
  previous: Previous,
  now: Instant,
  { holdMs }: VerdictSettings,
): boolean {
  if (members.some(({ golden }) => golden !== null)) return false;
  const rival = previous.at(look.modelDigest, scope, ["CAMERA", "WORLD", "LABEL_SHIFT", "CONCEPT"]);
  if (rival === undefined || rival.verdictId === id) return false;
  return !groups.has(rival.verdictId) && now - rival.openedAt < holdMs;
}

/** Two groups with one identity are one. */
function merged(a: Group, b: Group): Group {
  const members = new Map<string, Member>();
  for (const member of [...a.members, ...b.members]) {
    const same = members.get(member.deviceId);
    const cameras = [...(same?.cameras ?? []), ...member.cameras];
    const since = sinceOf([member, same ?? member]);
    members.set(member.deviceId, {
      ...member,
      cameras,
      since,
      alarmedAt: Math.min(member.alarmedAt, same?.alarmedAt ?? member.alarmedAt),
    });
  }
  const sorted = [...members.values()].sort((x, y) => (x.deviceId < y.deviceId ? -1 : 1));
  const scope = { ...a.scope, pValue: minOf(a.scope.pValue, b.scope.pValue) };
  return {
    ...a,
    scope,
    members: sorted,
    joinedAt: Math.max(a.joinedAt, b.joinedAt),
    opens: a.opens || b.opens,
    loss: null,
  };
}

const minOf = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

/** Null if nothing has changed that is worth a record. */
function updated(
  id: string,
  group: Group & { readonly loss: LossVerdict },
  before: DriftVerdict | undefined,
  now: Instant,
  settings: VerdictSettings,
): DriftVerdict | null {
  const isOpen = before?.state === "OPEN";
  const openedAt = isOpen ? before.openedAt : now;
  const findings = findingsOf(id, group, openedAt, now, settings);
  if (isOpen && !isNews(before, findings, now, settings)) return null;
  const review = isOpen ? before.review : null;
  const life = { openedAt, updatedAt: now, closedAt: null, closedBecause: "", review };
  return { ...findings, ...next(before), state: "OPEN", ...life };
}

const next = (before: DriftVerdict | undefined): { readonly version: bigint } => ({
  version: (before?.version ?? 0n) + 1n,
});

/** Devices, scope, fault and loss at once; mere figures every `settleMs`. */
function isNews(before: DriftVerdict, findings: Findings, now: Instant, { settleMs }: VerdictSettings): boolean {
  const key = ({ fault, devices, devicesAffected, devicesInScope, loss, retrain }: Findings) =>
    JSON.stringify([
      fault,
      devices.map(({ deviceId, cameras }) => [deviceId, cameras]),
      devicesAffected,
      devicesInScope,
      loss.state,
      retrain,
    ]);
  if (key(before) !== key(findings)) return true;
  if (now - before.updatedAt < settleMs) return false;
  return (Object.keys(findings) as (keyof Findings)[]).some(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(findings[name]),
  );
}
