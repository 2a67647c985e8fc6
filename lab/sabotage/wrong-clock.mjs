/**
 * Breaks no guarantee: the process's wall clock is off by TRIBUTARY_CLOCK_OFFSET_MS, behind when negative, or by the number that the file
 * TRIBUTARY_CLOCK_FILE holds, as it changes. Timers and the monotonic clock are not affected, as when a machine's date is set.
 */
import { readFileSync } from "node:fs";

const FOLLOWED_EVERY_MS = 20;
const file = process.env.TRIBUTARY_CLOCK_FILE ?? "";
const read = () => {
  const text = file === "" ? process.env.TRIBUTARY_CLOCK_OFFSET_MS : readFileSync(file, "utf8");
  const ms = Number(text);
  if (text === undefined || text === "" || !Number.isFinite(ms))
    throw new Error(`sabotage: ${file || "TRIBUTARY_CLOCK_OFFSET_MS"} is not a number of milliseconds`);
  return ms;
};

let offsetMs = read();
const RealDate = Date;
if (file !== "")
  setInterval(() => {
    offsetMs = read();
  }, FOLLOWED_EVERY_MS).unref();

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [target.now() + offsetMs] : args, newTarget),
  apply: (target) => new target(target.now() + offsetMs).toString(),
  get: (target, name, receiver) =>
    name === "now" ? () => target.now() + offsetMs : Reflect.get(target, name, receiver),
});
