export { accountOfDrive } from "./account.ts";
export { reportOfDrive } from "./report.ts";
export { roadFrames } from "./road.ts";
export { promised, runDrive } from "./run.ts";
export { timelineOf } from "./timeline.ts";
