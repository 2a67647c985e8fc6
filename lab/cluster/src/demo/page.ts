/** The demo's result for a terminal. Pure. */
import { tableOf } from "@tributary/stack";
import type { DemoReport } from "./demo.ts";
import { OPEN } from "./stranger.ts";

export type Check = { readonly name: string; readonly holds: boolean; readonly found: string };

export function checksOf({ report, passed, reached }: DemoReport, frames: number): readonly Check[] {
  const late = passed.filter(({ failure }) => failure !== undefined).map(({ name }) => name);
  const idle = passed.filter((one) => one.frames === 0).map(({ name }) => name);
  const check = (name: string, holds: boolean, found: string | number) => ({ name, holds, found: `${found}` });
  return [
    check("frames that cameras showed", report.frames >= frames, report.frames),
    check("0 lost", report.lost === 0, report.lost),
    check("0 answered twice", report.duplicates === 0, report.duplicates),
    check("ready again after each", late.length === 0, late.join(", ") || passed.length),
    check("another pod reaches only what devices reach", `${reached}` === `${OPEN}`, reached.join(", ")),
    check("frames during each", idle.length === 0, idle.join(", ") || passed.length),
  ];
}

export function pageOf(demo: DemoReport, frames: number): string {
  const { passed, services } = demo;
  const seconds = (value: number | undefined) => (value === undefined ? "-" : value.toFixed(1));
  const rows = passed.map(({ name, seconds: lasted, frames: shown, without }) => [
    name,
    seconds(lasted),
    String(shown),
    [...without].map(([service, lacked]) => `${service} ${seconds(lacked)}`).join(", ") || "-",
  ]);
  const totals = services.map((service) => {
    const lacked = passed.flatMap(({ without }) => without.get(service) ?? []);
    return [service, seconds(lacked.reduce((sum, one) => sum + one, 0)), seconds(Math.max(0, ...lacked))];
  });
  return [
    tableOf(["disturbance", "all ready after s", "frames", "seconds without a ready pod"], rows),
    tableOf(["service", "s without readiness", "longest"], totals),
    tableOf(
      ["", "check", "found"],
      checksOf(demo, frames).map(({ name, holds, found }) => [holds ? "holds" : "FAILS", name, found]),
    ),
  ].join("\n");
}
