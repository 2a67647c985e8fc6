/** The device's side. The repository's is `@tributary/tuf/repository`. */
export { httpFetcher, type MetadataFetcher } from "./fetcher.ts";
export { roles } from "./metadata.ts";
export { openTrust, type TrustedModels, trustLimits } from "./trust.ts";
