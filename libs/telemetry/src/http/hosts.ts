/**
 * Which names a port answers to. A web page can have its own name resolve to an address here (DNS rebinding); its requests
 * then count as same-origin in the visitor's browser, but they carry that name in Host.
 *
 * A port that listens on loopback answers to loopback's names and to those that its file lists.
 *
 * N2. An open port (no tokens) that listens elsewhere answers, besides, to what no page on the internet can be called:
 *     addresses, names without a dot, and names below a suffix that the public DNS does not delegate.
 * N3. A port with tokens that listens elsewhere answers to every name: the page does not have the token. */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/** A host name or address that is this machine's own. */
export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|::1|localhost)$/i.test(host);

/** Of the Host header, without port and brackets. */
export const hostnameOf = ({ headers }: Pick<IncomingMessage, "headers">): string =>
  (headers.host ?? "")
    .replace(/:\d{1,5}$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();

const PRIVATE_SUFFIX = /\.(local|internal|svc|home\.arpa)$/;
const NAME_WITHOUT_DOT = /^[a-z0-9_-]+$/;

export type HostRule = {
  /** Address or name that the port listens on. */
  readonly listensOn: string;
  /** No token is asked for. */
  readonly isOpen: boolean;
  /** Further names; one with a leading dot admits all names below it. */
  readonly hosts: readonly string[];
};

export function isHostAllowed(hostname: string, { listensOn, isOpen, hosts }: HostRule): boolean {
  if (isLoopback(hostname)) return true;
  if (hosts.some((host) => (host.startsWith(".") ? hostname.endsWith(host) : hostname === host))) return true;
  if (isLoopback(listensOn)) return false;
  if (!isOpen) return true;
  return isIP(hostname) !== 0 || NAME_WITHOUT_DOT.test(hostname) || PRIVATE_SUFFIX.test(hostname);
}
