/** `npm run chaos -- ota-attacks`: attacks on updates by class, each on a separate device, each checked by the device's final state. */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "@tributary/kernel";
import { check, type Drill, type DrillSettings, type Findings } from "../scenario.ts";
import type { AttackClass, Variant } from "./attacks/vocabulary.ts";
import { attackClasses } from "./attacks.ts";
import { type Attack, GuardedDevice, harmOf, stateAfter, updateUnguarded } from "./device.ts";
import { type Files, makeBundles, makeWorld, type World } from "./world.ts";

const SAMPLE = join(import.meta.dirname, "../../../../models/edge-resnet8");
const WORLDS = 6;
/** Waits for the disk overlap. */
const ATTACKS_AT_ONCE = 4;

type Tally = {
  attacks: number;
  stolen: number;
  accepted: number;
  acceptedUnguarded: number;
  /** Of those that stolen keys permit until the next root. */
  permitted: number;
  permittedAccepted: number;
  /** Why the device refused. */
  readonly codes: Map<string, number>;
  readonly failures: string[];
};

type Staged = { readonly world: World; readonly states: readonly Files[] };

export const otaAttacks: Drill = {
  name: "ota-attacks",
  summary:
    "every class of attack on updates, with and without stolen keys, on devices in this process: none is accepted",
  details: `Fourteen classes, each with variants by an attacker who holds the network, and by one who also stole keys. A real
device updates from that network; then the honest registry returns (with a new root if keys were stolen) and the device must
follow it; then the attack is repeated. As a control, a second device verifies nothing: the same checks must find harm there.
Those of the last class succeed before the new root, as TUF allows for those keys; they must not after it.`,
  options: [
    { name: "attacks", about: "number of attacks, over all classes", value: 10_500 },
    { name: "seed", about: "seed of the attacks; keys are always new", value: 1 },
  ],
  run: runAttacks,
};

export async function runAttacks({ options, dir, log }: DrillSettings): Promise<readonly Findings[]> {
  const { attacks = 0, seed = 1 } = options;
  const bundles = await makeBundles(join(dir, "bundles"), SAMPLE);
  const stages: Staged[] = [];
  for (let n = 0; n < WORLDS; n++) {
    const world = await makeWorld(bundles, seed * 1_000 + n);
    const states: Files[] = [];
    for (let seen = 0; seen < world.moments.length; seen++) {
      states.push(await stateAfter(world, seen, join(dir, `state-${n}-${seen}`)));
    }
    stages.push({ world, states });
  }
  log(
    `${WORLDS} registries with ${stages[0]?.world.moments.length} moments each; ${attacks} attacks of ${attackClasses.length} classes`,
  );
  const perClass = Math.ceil(attacks / attackClasses.length);
  const tallies = new Map<string, Tally>();
  for (const [c, attackClass] of attackClasses.entries()) {
    const tally = await attackAll(attackClass, perClass, stages, { dir, seed: seed * 100_003 + c * 1_009 });
    tallies.set(attackClass.name, tally);
    log(
      `${attackClass.name}: ${tally.attacks} attacks, ${tally.accepted} accepted; ${tally.acceptedUnguarded} without verification`,
    );
  }
  return [findingsOf(tallies), controlOf(tallies)];
}

async function attackAll(
  { variants }: AttackClass,
  count: number,
  stages: readonly Staged[],
  { dir, seed }: { dir: string; seed: number },
): Promise<Tally> {
  const tally: Tally = {
    attacks: 0,
    stolen: 0,
    accepted: 0,
    acceptedUnguarded: 0,
    permitted: 0,
    permittedAccepted: 0,
    codes: new Map(),
    failures: [],
  };
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const n = next++;
      const variant = variants[n % variants.length] as Variant;
      const stage = stages[Math.floor(n / variants.length) % stages.length] as Staged;
      const at = join(dir, `device-${n}`);
      await mkdir(at, { recursive: true });
      await attackOne(variant, stage, seededRandom(seed + n), at, tally);
      await rm(at, { recursive: true });
    }
  };
  await Promise.all(Array.from({ length: ATTACKS_AT_ONCE }, worker));
  return tally;
}

async function attackOne(
  variant: Variant,
  { world, states }: Staged,
  random: () => number,
  dir: string,
  tally: Tally,
): Promise<void> {
  const attack = variant.make(world, random);
  tally.attacks++;
  if (attack.stolen.length > 0) tally.stolen++;
  const accept = (what: string) => {
    tally.accepted++;
    tally.failures.push(`${variant.name}: ${what}`);
  };

  const device = await GuardedDevice.prepare(world, attack, states[attack.seen] ?? new Map(), dir);
  const outcome = await device.update(attack);
  const harm = harmOf(world, attack, outcome);
  if (variant.permitted) {
    tally.permitted++;
    if (harm !== undefined) tally.permittedAccepted++;
  }
  const after = await afterwards(world, attack, device);
  if (harm !== undefined && !variant.permitted) accept(harm);
  else if (after.harm !== undefined) accept(after.harm);
  const code = variant.permitted ? after.code : outcome.code;
  tally.codes.set(code, (tally.codes.get(code) ?? 0) + 1);

  // The control verifies nothing, so it makes no difference to it whose keys signed.
  const control = { ...attack, stolen: [] };
  if (harmOf(world, control, await updateUnguarded(world, control)) !== undefined) tally.acceptedUnguarded++;
}

/** Harm that shows only later: the honest registry is not followed any more, or the old keys still work after a new root. */
async function afterwards(
  world: World,
  attack: Attack,
  device: GuardedDevice,
): Promise<{ readonly harm: string | undefined; readonly code: string }> {
  if (!(await device.recovers(attack))) return { harm: "does not return to the honest registry", code: "lost" };
  if (attack.stolen.length === 0) return { harm: undefined, code: "recovered" };
  const again = await device.update(attack);
  const harm = harmOf(world, attack, again);
  return { harm: harm && `after the next root: ${harm}`, code: again.code };
}

function findingsOf(tallies: ReadonlyMap<string, Tally>): Findings {
  const sum = (of: (tally: Tally) => number) => [...tallies.values()].reduce((total, tally) => total + of(tally), 0);
  const checks = [...tallies].map(([name, { attacks, stolen, accepted, codes, failures }]) => {
    const refusals = [...codes].sort((a, b) => b[1] - a[1]).map(([code, times]) => `${code} ${times}`);
    const found = `${attacks} attacks, ${stolen} with stolen keys, ${accepted} accepted; ${refusals.join(", ")}`;
    const isGood = accepted === 0 && stolen > 0;
    return check(
      `${name}: none accepted`,
      isGood,
      failures.length > 0 ? `${found}; ${failures.slice(0, 3).join("; ")}` : found,
    );
  });
  return {
    title: "Real device",
    checks,
    figures: {
      attacks: sum(({ attacks }) => attacks),
      "of them with stolen keys": sum(({ stolen }) => stolen),
      accepted: sum(({ accepted }) => accepted),
      "least attacks of a class": Math.min(...[...tallies.values()].map(({ attacks }) => attacks)),
      "permitted to stolen keys until the next root": sum(({ permitted }) => permitted),
      "of them accepted before it": sum(({ permittedAccepted }) => permittedAccepted),
    },
  };
}

function controlOf(tallies: ReadonlyMap<string, Tally>): Findings {
  const all = [...tallies];
  return {
    title: "Control: without verification",
    checks: [
      ...all.map(([name, { attacks, acceptedUnguarded }]) =>
        check(`${name}: does harm`, acceptedUnguarded === attacks, `${acceptedUnguarded} of ${attacks} accepted`),
      ),
      ...all
        .filter(([, { permitted }]) => permitted > 0)
        .map(([name, { permitted, permittedAccepted }]) =>
          check(
            `${name}: work before it`,
            permitted === permittedAccepted,
            `${permittedAccepted} of ${permitted} accepted`,
          ),
        ),
    ],
    figures: { accepted: all.reduce((sum, [, { acceptedUnguarded }]) => sum + acceptedUnguarded, 0) },
  };
}
