export * from "./door.ts";
export * from "./events.ts";
export * from "./guesses.ts";
export * from "./hosts.ts";
export * from "./metrics-server.ts";
export * from "./problem.ts";
export * from "./respond.ts";
export * from "./sites.ts";
