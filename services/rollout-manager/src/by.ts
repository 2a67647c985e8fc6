/** The author that this service writes into the log, and sends to the model registry, when it acts by itself. */
export const BY = "rollout-manager";
