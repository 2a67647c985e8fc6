import { defineEvent } from "@tributary/telemetry";

export const packageTaken = defineEvent<{ reference: string; modelDigest: string; before: string | null; ms: number }>({
  name: "package_taken",
  level: "info",
  message: (e) =>
    `${e.reference} is ${e.modelDigest.slice(0, 12)} now, ${e.before === null ? "the first" : `after ${e.before.slice(0, 12)}`}, in ${e.ms.toFixed(0)} ms`,
  counter: {
    name: "tributary_packages_taken_total",
    help: "Packages of the model registry that became active",
    labels: ["reference"],
  },
});

export const packageRefused = defineEvent<{
  reference: string;
  modelDigest: string | null;
  active: string | null;
  code: string;
  reason: string;
}>({
  name: "package_refused",
  level: "error",
  message: (e) =>
    `${e.reference} is not taken (${e.code}): ${e.reason}; ${e.active === null ? "there is no other package" : `${e.active.slice(0, 12)} stays`}`,
  counter: {
    name: "tributary_packages_refused_total",
    help: "Attempts to take the package that a reference names that failed; the one before stays",
    labels: ["reference", "code"],
  },
});
