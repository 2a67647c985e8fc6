export { CircuitBreaker, type CircuitState } from "./breaker.ts";
export { ShareBudget } from "./budget.ts";
export { type CallLimits, type CallOptions, Calls, type Failing, type RetryDecision, Ticket } from "./calls.ts";
export { Latencies } from "./latencies.ts";
export { type Outage, type RetryStorm, type RetryStormOptions, retryStorm } from "./retry-storm.ts";
export { type CallSettings, callDefaults, unguarded } from "./settings.ts";
export { SimulatedClock } from "./simulated-clock.ts";
