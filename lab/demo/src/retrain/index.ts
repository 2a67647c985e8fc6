export { channelGains } from "./channel-gains.ts";
export { type Figures, figuresLine, Judge } from "./judge.ts";
export { type SiteView, sceneOf } from "./site-views.ts";
export { type SiteDrift, SiteSets, siteDrifts } from "./sets.ts";
export { Trainer, type Variant, variants } from "./trainer.ts";
