/**
 * Which targets a request goes to, in which order. Pure.
 *
 * A name in `routes` is a choice among targets; any other name is a target itself. A request that names one of the route's
 * arms gets it, because the router has assigned it. If the request names none, a salted hash of the frame or of the device
 * chooses by weight, the same one always and in every process. A request of another experiment keeps its arm and goes to the
 * first: one experiment at a time. The fallbacks come after the arm's own target, in their order, each target once. The
 * shadow is asked as well.
 */
import { createHash } from "node:crypto";

export type Arm = { readonly arm: string; readonly target: string; readonly weight: number };

export type Route = {
  readonly arms: readonly Arm[];
  /** What the same arm holds together. */
  readonly by: "frame" | "device";
  readonly salt: string;
  /** Targets asked when the arm's own does not answer. */
  readonly fallback: readonly string[];
  /** How long before the deadline each target that has a successor gives up. */
  readonly fallbackReserveMs: number;
  readonly shadow?: { readonly target: string; readonly share: number } | undefined;
};

export type Plan = {
  readonly arm: string;
  readonly targets: readonly string[];
  readonly shadow: string | null;
};

export type Asked = {
  readonly target: string;
  readonly arm: string;
  readonly deviceId: string;
  readonly frameId: string;
};

/** Outside experiments. */
const UNDRAWN = "default";

export function planOf(route: Route | undefined, asked: Asked): Plan {
  if (route === undefined) return { arm: asked.arm, targets: [asked.target], shadow: null };
  const named = route.arms.find(({ arm }) => arm === asked.arm);
  const unit = route.by === "device" ? asked.deviceId : asked.frameId;
  const isDrawn = named === undefined && route.arms.length > 1 && asked.arm === UNDRAWN;
  const drawn = isDrawn ? weighted(route.arms, chance(`${route.salt}|${asked.target}|${unit}`)) : undefined;
  const chosen = named ?? drawn ?? (route.arms[0] as Arm);
  const { shadow } = route;
  const isShadowed = shadow !== undefined && chance(`${route.salt}|shadow|${asked.frameId}`) < shadow.share;
  return {
    arm: drawn?.arm ?? asked.arm,
    targets: [...new Set([chosen.target, ...route.fallback])],
    shadow: isShadowed ? shadow.target : null,
  };
}

function weighted(arms: readonly Arm[], at: number): Arm {
  const sum = arms.reduce((total, { weight }) => total + weight, 0);
  let passed = 0;
  for (const arm of arms) {
    passed += arm.weight / sum;
    if (at < passed) return arm;
  }
  return arms.at(-1) as Arm;
}

/** Uniform in [0, 1), the same for the same text. */
const chance = (text: string): number => createHash("sha256").update(text).digest().readUIntBE(0, 6) / 2 ** 48;

/** What is wrong with routes, each with its key. */
export function problemsOfRoutes(routes: Readonly<Record<string, Route>>, targets: readonly string[]): string[] {
  const known = new Set(targets);
  return Object.entries(routes).flatMap(([name, route]) => {
    const at = `routes.${name}`;
    const named = [
      ...route.arms.map(({ target }, i) => [`${at}.arms[${i}].target`, target] as const),
      ...route.fallback.map((target, i) => [`${at}.fallback[${i}]`, target] as const),
      ...(route.shadow === undefined ? [] : [[`${at}.shadow.target`, route.shadow.target] as const]),
    ];
    const problems = named
      .filter(([, target]) => !known.has(target))
      .map(([key, target]) => `${key}: "${target}" is no target (known: ${targets.join(", ")})`);
    if (new Set(route.arms.map(({ arm }) => arm)).size < route.arms.length)
      problems.push(`${at}.arms: two of one name`);
    const answering = [...route.arms.map(({ target }) => target), ...route.fallback];
    if (route.shadow !== undefined && answering.includes(route.shadow.target)) {
      problems.push(`${at}.shadow.target: "${route.shadow.target}" answers already`);
    }
    return problems;
  });
}
