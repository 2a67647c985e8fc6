/** AbortController of what the registry runs; it is aborted before anything stops. */
export const STOP = Symbol("Stop");
