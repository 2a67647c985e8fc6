/** One byte range of HTTP (RFC 9110, 14): what a download that was cut off asks for to go on. */
import type { ByteRange } from "@tributary/blob-store";

/** `whole` also for what this does not do, e.g. several ranges: a client must then take all. */
export type Asked =
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly range: ByteRange }
  | { readonly kind: "outside" };

export function rangeOf(header: string | undefined, size: number): Asked {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "") ?? [];
  if (first === "" && last === "") return { kind: "whole" };
  if (first === "") {
    const from = Math.max(0, size - Number(last));
    return from < size ? { kind: "part", range: { from, to: size - 1 } } : { kind: "outside" };
  }
  const from = Number(first);
  if (last !== "" && Number(last) < from) return { kind: "whole" }; // no range at all: it is to be passed over
  if (from >= size) return { kind: "outside" };
  return { kind: "part", range: { from, to: last === "" ? size - 1 : Math.min(Number(last), size - 1) } };
}
