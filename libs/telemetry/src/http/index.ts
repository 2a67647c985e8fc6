export {
  changesSomething,
  Door,
  type DoorAddress,
  type DoorPolicy,
  pictureReaders,
} from "./door.ts";
export { httpFailed, httpRefused } from "./events.ts";
export { isLoopback } from "./hosts.ts";
export { serveMetrics } from "./metrics-server.ts";
export { Problem, type ProblemDetails } from "./problem.ts";
export { PROBLEM_MEDIA_TYPE, pathOf, peerOf, respond } from "./respond.ts";
