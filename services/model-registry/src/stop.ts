/** AbortController of what the registry has under way; it is aborted before anything stops. */
export const STOP = Symbol("Stop");
