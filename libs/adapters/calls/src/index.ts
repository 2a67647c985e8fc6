export type { CircuitState } from "./breaker.ts";
export { Calls, type RetryDecision, Ticket } from "./calls.ts";
export {
  type HttpAnswer,
  HttpCaller,
  type HttpRequest,
  problemOf,
  retryAfterMs,
} from "./http-caller.ts";
export { type Outage, type RetryStorm, retryStorm } from "./retry-storm.ts";
export { type CallSettings, callDefaults, unguarded } from "./settings.ts";
export { SimulatedClock } from "./simulated-clock.ts";
