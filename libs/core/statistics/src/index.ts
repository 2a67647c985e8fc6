export * from "./betting.ts";
export * from "./binomial.ts";
export * from "./bootstrap.ts";
export * from "./calibration.ts";
export * from "./logistic.ts";
export * from "./moments.ts";
export * from "./normal.ts";
export * from "./sigmoid.ts";
