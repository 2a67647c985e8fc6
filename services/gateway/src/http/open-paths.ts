/** Probes and scrapers carry no token, and the descriptions hold nothing of the fleet; everything else wants one. */
const OPEN = /^\/(health(\/|$)|metrics$|asyncapi(\.yaml)?$)/;

export const wantsToken = (_method: string, path: string): boolean => !OPEN.test(path);
