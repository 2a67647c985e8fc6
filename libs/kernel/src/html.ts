/** HTML and SVG as text, in which every interpolated value is escaped unless it is HTML itself. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | Html | readonly Html[];

/** `html\`<p>${text}</p>\``: numbers are rounded to two digits behind the point, as coordinates need. */
export const html = (parts: TemplateStringsArray, ...values: readonly Value[]): Html =>
  new Html(parts.reduce((text, part, i) => text + textOf(values[i - 1] ?? "") + part));

export const nothing = new Html("");

function textOf(value: Value): string {
  if (value instanceof Html) return value.text;
  if (typeof value === "string") return escaped(value);
  if (typeof value === "number") return String(Number.isFinite(value) ? Math.round(value * 100) / 100 : 0);
  return value.map(({ text }) => text).join("\n");
}

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`).replace(/\p{Cc}/gu, " ");
