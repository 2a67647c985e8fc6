/**
 * Breaks no guarantee: the process's wall clock is off by TRIBUTARY_CLOCK_OFFSET_MS, behind when negative. Timers and the monotonic
 * clock are not affected, as when a machine's date is set.
 */
const offsetMs = Number(process.env.TRIBUTARY_CLOCK_OFFSET_MS);
if (!Number.isFinite(offsetMs)) throw new Error("sabotage: TRIBUTARY_CLOCK_OFFSET_MS is not a number of milliseconds");
const RealDate = Date;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [target.now() + offsetMs] : args, newTarget),
  apply: (target) => new target(target.now() + offsetMs).toString(),
  get: (target, name, receiver) =>
    name === "now" ? () => target.now() + offsetMs : Reflect.get(target, name, receiver),
});
