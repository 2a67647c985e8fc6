/** Breaks G13 (fair-places.ts): people's label queue has the first frames, whichever devices they are of. */
import { replaceExport } from "./replace-export.mjs";

await replaceExport(
  "services/gateway/dist/labels/fair-places.js",
  "fairPlaces",
  () =>
    (frames, _deviceOf, { left }) =>
      frames.slice(0, Math.max(0, left)),
);
