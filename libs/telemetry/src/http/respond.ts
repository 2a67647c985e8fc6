import type { IncomingMessage, ServerResponse } from "node:http";

export const PROBLEM_MEDIA_TYPE = "application/problem+json";

export const pathOf = (request: Pick<IncomingMessage, "url">): string => (request.url ?? "/").split("?")[0] ?? "/";

/** The address at the other end of the connection; behind a proxy, the proxy's. */
export const peerOf = ({ socket }: Pick<IncomingMessage, "socket">): string =>
  (socket?.remoteAddress ?? "").replace(/^::ffff:(?=\d)/, "");

/** Where a part of another answer is out already, the connection ends. */
export function respond(
  response: ServerResponse,
  status: number,
  mediaType: string,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { ...headers, "content-type": mediaType });
  response.end(JSON.stringify(body));
}
