/** What changed on a fleet, where, and why: drift of inputs, faults of preprocessing, loss. */
export const DRIFT_STATE_VERSION = 1;
