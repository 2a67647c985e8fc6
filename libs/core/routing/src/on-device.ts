/** What a device needs of routing: a small memory loads neither the fitting of policies nor the statistics below it. */
export * from "./bucket.ts";
export * from "./calibrate.ts";
export * from "./device.ts";
export * from "./policy.ts";
export * from "./sample.ts";
export * from "./score.ts";
