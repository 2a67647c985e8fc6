export { type SiteFrame, SiteSets, siteFramesOf, unseenFrames, writeDataset } from "./sets.ts";
