/** Configuration of a process of light devices. */
import { httpBlock, logBlock } from "@tributary/config";
import { isValidId } from "@tributary/kernel";
import { z } from "zod";

const path = z.string().min(1);
const whole = (min: number, max: number) => z.number().int().min(min).max(max);

export const lightDevicesConfig = z.strictObject({
  dataDir: path,
  hardwareClass: z.string().min(1).max(64).default("x64"),
  mqtt: z.strictObject({
    url: z.string().regex(/^mqtts?:\/\/[^\s]+$/, "expected mqtt://host:port or mqtts://host:port"),
    prefix: z.string().min(1).default("tributary"),
  }),
  http: httpBlock.prefault({}),
  log: logBlock.prefault({}),
  model: z.strictObject({ package: path }),
  /** Where models that devices shall run come from; without it they keep the one they have. */
  registry: z
    .strictObject({
      url: z.url({ protocol: /^https?$/ }),
      /** The first root of trust: a TUF root.json that came with the device. */
      root: path,
    })
    .optional(),
  /** Folder of JPEGs; or of pool.bin and pool.json, a list of {view, label, from, bytes}. */
  photos: path,
  /** Frames a second and device. */
  fps: z.number().positive().max(100).default(1),
  predictions: z.strictObject({ batchWaitMs: whole(100, 600_000).default(2_000) }).prefault({}),
  windows: z.strictObject({ lengthMs: whole(1_000, 3_600_000).default(60_000) }).prefault({}),
  devices: z
    .array(
      z.strictObject({
        deviceId: z.string().refine(isValidId, "expected letters, digits, - and _; at most 64"),
        password: z.string().min(1),
        /** Which photos its camera sees, and in what light. */
        seed: whole(0, 2 ** 31),
      }),
    )
    .min(1)
    .max(256),
});
