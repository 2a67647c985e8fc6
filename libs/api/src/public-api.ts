/** The gateway's API, resource by resource. */

import { archive } from "./archive.ts";
import { classifications } from "./classifications.ts";
import { type Client, type ClientOptions, clientOf } from "./client.ts";
import { datasets } from "./datasets.ts";
import { devices } from "./devices.ts";
import { drift } from "./drift.ts";
import { experiments } from "./experiments.ts";
import { frames } from "./frames.ts";
import { labels } from "./labels.ts";
import { models } from "./models.ts";
import { policies } from "./policies.ts";
import { rollouts } from "./rollouts.ts";
import { trainings } from "./trainings.ts";

export const publicApi = {
  archive,
  classifications,
  datasets,
  devices,
  drift,
  experiments,
  frames,
  labels,
  models,
  policies,
  rollouts,
  trainings,
};

export type GatewayClient = Client<typeof publicApi>;
export const gatewayClient = (options: ClientOptions): GatewayClient => clientOf(publicApi, options);
