/** Who this service is, in the log and to the model registry, when it does something by itself. */
export const BY = "rollout-manager";
