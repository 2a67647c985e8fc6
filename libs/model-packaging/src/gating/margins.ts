/** The gate's margins as people write them, on the command line and in the registry's file: what is left out has its default. */
import { type Margins, marginDefaults } from "@tributary/models/gate";
import { z } from "zod";

const share = z.number().min(0).max(1);

export const marginsSchema = z.strictObject({
  accuracy: share.default(marginDefaults.accuracy),
  perClass: share.default(marginDefaults.perClass),
  perCorruption: share.default(marginDefaults.perCorruption),
  chance: share.default(marginDefaults.chance),
  calibrationError: share.default(marginDefaults.calibrationError),
  latency: z.number().min(1).max(1_000).default(marginDefaults.latency),
  megabytes: z.number().positive().default(marginDefaults.megabytes),
  alpha: z.number().min(1e-6).max(0.5).default(marginDefaults.alpha),
  sliceMin: share.default(marginDefaults.sliceMin),
  sliceMax: share.default(marginDefaults.sliceMax),
  discordance: z.number().min(0.001).max(1).default(marginDefaults.discordance),
  contradicted: share.default(marginDefaults.contradicted),
  power: z.number().min(0.5).max(0.999).default(marginDefaults.power),
}) satisfies z.ZodType<Margins>;
