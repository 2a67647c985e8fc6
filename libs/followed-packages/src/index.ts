export { packageBlocks, packageName, problemsOfPackages } from "./config.ts";
export { FollowedPackages } from "./followed-packages.ts";
