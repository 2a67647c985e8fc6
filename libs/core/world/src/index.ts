export {
  evidenceOf,
  fused,
  type Guard,
  guardStart,
  isWorse,
  learned,
  mixed,
  normalised,
  type Shares,
  seen,
  type WeightRule,
  weightAt,
  weightRule,
} from "./fuse.ts";
export { type Context, classesIn, type Factor, parseWorldTable, type WorldTable } from "./table.ts";
export { trainWorld, type WorldFrame } from "./train.ts";
