/**
 * Step 3 of the cause tree: the model loses frames although the inputs of these devices look the same. Tested for each site and for
 * all devices of the model; the level is shared. */
import type { Instant } from "@tributary/kernel";
import type { DrawnDevice, ModelLook } from "./fleet-view.ts";
import type { Group, Member, Scope } from "./group.ts";
import type { LossTest, LossVerdict } from "./loss.ts";
import { lossOfDevices, lossTestOf } from "./loss-of-members.ts";
import { modelName } from "./preprocessing-groups.ts";
import type { Previous } from "./previous.ts";
import type { VerdictSettings } from "./settings.ts";
import { countOf, lossWords } from "./words.ts";

/** `explained`: devices that are in a group already. */
export function conceptGroups(
  look: ModelLook,
  explained: ReadonlySet<string>,
  previous: Previous,
  hasOtherModels: boolean,
  settings: VerdictSettings,
): readonly Group[] {
  const devices = look.drawn.filter(({ deviceId, isCompared }) => isCompared && !explained.has(deviceId));
  const sites = sitesOf(devices);
  const alpha = settings.alpha / 2;
  const test = (scope: Scope, of: readonly DrawnDevice[], level: number): Group | null => {
    const open = previous.at(look.modelDigest, scope, ["CONCEPT"]);
    const lossTest = lossTestOf(look, settings, level);
    const loss = lossOfDevices(of, lossTest, settings, open !== undefined);
    return loss?.state === "LOST" ? groupOf(look, scope, of, loss, lossTest, open?.since ?? null) : null;
  };
  const ofSites = sites.map(([site, of]) => {
    const scope = { key: "site", value: site, pValue: null, devices: look.compared.with("site", site) };
    return test(scope, of, alpha / sites.length);
  });
  const lost = new Set(sites.filter((_, i) => ofSites[i] !== null).flatMap(([, of]) => of));
  const [key, value] = hasOtherModels ? ["model", modelName(look)] : ["fleet", ""];
  const whole = { key, value, pValue: null, devices: look.compared.size };
  // Where most sites are well, the few that are not explain it.
  const rest = devices.filter((device) => !lost.has(device));
  const everywhere = rest.length === 0 && sites.length < 2 ? null : test(whole, rest, alpha);
  if (everywhere === null) return ofSites.filter((group) => group !== null);
  const all = test(whole, devices, alpha);
  return [all ?? everywhere];
}

function sitesOf(devices: readonly DrawnDevice[]): readonly (readonly [string, readonly DrawnDevice[]])[] {
  const sites = new Map<string, DrawnDevice[]>();
  for (const device of devices) {
    const { site } = device.attributes;
    if (site === undefined) continue;
    const ofSite = sites.get(site);
    if (ofSite === undefined) sites.set(site, [device]);
    else ofSite.push(device);
  }
  return [...sites].sort(([a], [b]) => (a < b ? -1 : 1));
}

function groupOf(
  look: ModelLook,
  scope: Scope,
  devices: readonly DrawnDevice[],
  loss: LossVerdict,
  lossTest: LossTest,
  knownSince: Instant | null,
): Group {
  const since = onsetOf(devices, lossTest, knownSince);
  const losing = devices.filter(({ draws }) => draws.some((draw) => draw.loss && draw.at >= since));
  const members = (losing.length > 0 ? losing : devices)
    .filter(({ draws }) => draws.length > 0)
    .map(({ deviceId, attributes }): Member => {
      return { deviceId, attributes, cameras: [], golden: null, since, alarmedAt: since };
    });
  const compared = countOf(look.compared.size, "device");
  const steps = [
    {
      question: "Do devices reproduce their golden frames?",
      answer: "these do, or did not report them",
      isCause: false,
    },
    { question: "Did the inputs change?", answer: `not on these devices, of ${compared} compared`, isCause: false },
    {
      question: "Does the model lose frames all the same?",
      answer: `yes: ${lossWords(loss, look.reference)}`,
      isCause: true,
    },
  ];
  return { cause: "CONCEPT", fault: null, scope, look, members, joinedAt: since, opens: true, mix: null, loss, steps };
}

/** The moment since which the excess of losses is largest; where there is none any more, that of before. */
function onsetOf(devices: readonly DrawnDevice[], lossTest: LossTest, known: Instant | null): Instant {
  const draws = devices.flatMap((device) => device.draws).sort((a, b) => b.at - a.at);
  let [excess, largest, onset] = [0, 0, known ?? draws[0]?.at ?? 0];
  for (const { at, propensity, truth, loss } of draws) {
    excess += ((loss ? 1 : 0) - lossTest.allowed(truth)) / propensity;
    if (excess > largest) [largest, onset] = [excess, at];
  }
  return onset;
}
