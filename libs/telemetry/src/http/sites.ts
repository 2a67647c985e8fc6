/**
 * Whether a browser marks a request as another site's. Programs that are no browsers send no such header, and pass.
 *
 * `Origin` is this port's own, or listed. `Sec-Fetch-Site` is `same-origin` or `none`, or the origin is listed. `same-site` is
 * another port of this machine, too.
 *
 * B3. Following a link from another page to a document here is no request of that page's scripts: it may be read, and the page
 *     cannot see it. */
import type { IncomingHttpHeaders } from "node:http";

export type CrossSite = { readonly header: "Origin" | "Sec-Fetch-Site"; readonly value: string };

/** The header that marks it; undefined: none does. */
export function crossSiteOf(
  method: string,
  headers: IncomingHttpHeaders,
  origins: readonly string[],
): CrossSite | undefined {
  const { origin, host = "", "sec-fetch-site": site } = headers;
  if (origin !== undefined) {
    if (origins.includes(origin)) return undefined;
    if (!isOwn(origin, host)) return { header: "Origin", value: origin };
  }
  if (typeof site !== "string" || site === "same-origin" || site === "none") return undefined;
  const isRead = method === "GET" || method === "HEAD";
  const isLink = headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document";
  return isRead && isLink ? undefined : { header: "Sec-Fetch-Site", value: site };
}

function isOwn(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host: originHost } = new URL(origin);
  const own = `${protocol}//${host}`;
  return originHost !== "" && URL.canParse(own) && new URL(own).host === originHost;
}
