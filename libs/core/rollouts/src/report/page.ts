/** What the pages of rollouts and of experiments have in common: one HTML file each, which needs nothing but a browser. */
import type { EventOf } from "../events.ts";
import type { Setting } from "./settings.ts";
import { escaped } from "./svg.ts";

export type Package = { readonly digest: string; readonly name: string | null; readonly version: string | null };

const EVENTS_MAX = 500;

/** `title` is text, `body` is HTML; `style`: rules of this page alone. */
export const pageOf = (title: string, body: string, style = ""): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>${STYLE}${style}</style></head>
<body>
${body}
</body></html>
`;

export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table><tr>${head.map((text) => `<th>${escaped(text)}</th>`).join("")}</tr>\n${rows
    .map((cells) => `<tr>${cells.map((text) => `<td>${escaped(text)}</td>`).join("")}</tr>`)
    .join("\n")}</table>`;

export const facts = (pairs: readonly (readonly [name: string, value: string])[]): string =>
  `<dl>${pairs.map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>`).join("")}</dl>`;

export function settingsTable(settings: readonly Setting[]): string {
  if (settings.length === 0) return "<p>None: every setting is its default.</p>";
  return table(
    ["setting", "here", "default"],
    settings.map(({ name, value, default: usual }) => [name, value, usual]),
  );
}

export function historyTable<Change>(events: readonly EventOf<Change>[], wordsOf: (change: Change) => string): string {
  const shown = events.slice(-EVENTS_MAX);
  const left = events.length - shown.length;
  const rows = shown.map(({ version, at, by, change }) => [`${version}`, timeOf(at), by, sentence(wordsOf(change))]);
  return (left > 0 ? `<p>The first ${left} events are left out.</p>` : "") + table(["", "when", "by", "what"], rows);
}

export const packageWords = ({ digest, name, version }: Package): string =>
  name === null ? digest : `${name} ${version ?? ""} (${digest.slice(0, 12)})`;

/** Begins with a capital letter, ends with a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim().replace(/\.$/, "");
  return trimmed === "" ? "" : `${trimmed.charAt(0).toUpperCase()}${trimmed.slice(1)}.`;
}

export const timeOf = (ms: number): string =>
  Math.abs(ms) > 8.64e15 ? "unknown" : `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222; background: #fff }
h1 { margin-bottom: .3rem } h2 { margin-top: 2.2rem; border-top: 1px solid #ddd; padding-top: 1rem } h3 { margin: 1.2rem 0 .2rem }
table { border-collapse: collapse; width: 100%; font-size: 14px } td, th { padding: .3rem .6rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top }
th { font-weight: 600; color: #555 } td { font-variant-numeric: tabular-nums } td:first-child { white-space: nowrap }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem } dt { color: #555 } dd { margin: 0; overflow-wrap: anywhere }
.lead { font-size: 17px; margin: .3rem 0 .8rem } svg { max-width: 100%; height: auto; display: block; margin: .3rem 0 } svg text { font: 12px system-ui, sans-serif }
.badge { font-size: 14px; font-weight: 600; vertical-align: middle; padding: .15rem .6rem; border-radius: 1rem; border: 1.5px solid currentColor; white-space: nowrap }
.Successful { color: #00704f } .Failed { color: #b34700 } .Running { color: #0072b2 } .Inconclusive, .NoData, .Error { color: #666 }
@media print { h2, svg, table { break-inside: avoid } }
`;
