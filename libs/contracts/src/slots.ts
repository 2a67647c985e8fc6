/** The slot whose model classifies the frames of cameras: today's agents have no other. */
export const PERCEPTION = "perception";
