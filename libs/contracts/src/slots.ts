/** The slot whose model classifies the frames of cameras. */
export const PERCEPTION = "perception";
/** Its package is a table that says how often each class is seen in a context. */
export const WORLD = "world";
/** Its package is a routing policy, named by its version. */
export const POLICY = "policy";
