/** How many frames a device can have seen: what it claims beyond that is no measurement. */

/** No device of ours sees more frames a second, of all its cameras together; and what may come at once after a silence. */
const [FRAMES_PER_SECOND_MAX, FRAMES_BURST] = [1_000, 10_000];

/** The most frames that a device can have seen in a time. */
export const framesPlausible = (ms: number): number => FRAMES_BURST + (FRAMES_PER_SECOND_MAX * Math.max(0, ms)) / 1_000;
