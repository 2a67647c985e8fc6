/** Breaks what ADR 78 added to G13 in the router (interleave.ts I1): the records of a poll are settled in the order in which they came. */
import { replaceExport } from "./replace-export.mjs";

await replaceExport("services/router/dist/interleave.js", "interleave", () => (records) => ({
  ordered: records,
  large: [],
}));
