/** The devices: each stays at one place, and a place has two classes that nearly all of its photos are of. */
import { CLASSES } from "../photos.ts";
import { settings } from "./settings.ts";

export type Member = { readonly deviceId: string; readonly scene: object };

export const fleet: readonly Member[] = Array.from({ length: settings.devices }, (_, i) => {
  const place = i % settings.places;
  const classes = [0, 3].map((step) => CLASSES[(place + step) % CLASSES.length]);
  return { deviceId: `light-${String(i + 1).padStart(3, "0")}`, scene: { classes, context: { place: `p${place}` } } };
});

export const everyone: readonly string[] = fleet.map(({ deviceId }) => deviceId);
