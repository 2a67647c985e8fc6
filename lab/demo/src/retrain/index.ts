export { channelGains } from "./channel-gains.ts";
export { type Figures, figuresLine, Judge } from "./judge.ts";
export { type SiteDrift, type SiteFrame, SiteSets, siteDrifts, unseenOf, writeDataset } from "./sets.ts";
export { type SiteView, sceneOf } from "./site-views.ts";
export { Trainer, trainedOnce, type Variant, variants } from "./trainer.ts";
