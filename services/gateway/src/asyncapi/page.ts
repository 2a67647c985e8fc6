/** The AsyncAPI document for people: one page without scripts, styles of its own, nothing fetched from anywhere. */
import type { AsyncApi } from "./document.ts";
import type { Json } from "./parts.ts";

type Node = { readonly [key: string]: Json };

export function asyncApiPage(document: AsyncApi): string {
  const info = document.info as Node;
  const messages = (document.components as Node).messages as Node;
  const all = Object.entries(document.channels as Node) as [string, Node][];
  const isMqtt = ([, channel]: [string, Node]) => JSON.stringify(channel.servers).includes("/servers/mqtt");
  const channels = all.filter((entry) => !isMqtt(entry));
  const isPublic = ([, channel]: [string, Node]) => JSON.stringify(channel.tags).includes('"public"');
  const ordered = [...channels.filter(isPublic), ...channels.filter((entry) => !isPublic(entry))];
  const prefix = String((((document.components as Node).parameters as Node).prefix as Node).default);
  const rows = ordered.map(
    ([id, channel]) =>
      `<tr><td><a href="#${id}"><code>${html(String(channel.title))}</code></a></td><td>${tagOf(channel)}</td><td>${html(String(channel.summary))}</td></tr>`,
  );
  const traits = (document.components as Node).messageTraits as Node;
  const sections = ordered.map(([id, channel]) => {
    const [name = ""] = Object.keys(channel.messages as Node);
    const ref = String(((channel.messages as Node)[name] as Node).$ref);
    const message = messages[ref.split("/").at(-1) ?? ""] as Node;
    const isTraced = JSON.stringify(message.traits ?? "").includes("/traced");
    return channelSection(
      id,
      channel,
      message,
      prefix,
      isTraced ? ((traits.traced as Node).headers as Node) : undefined,
    );
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${html(String(info.title))}: topics</title><style>${STYLE}</style></head><body>
<h1>${html(String(info.title))}: topics <small>${html(String(info.version))}</small></h1>
<p>AsyncAPI ${html(String(document.asyncapi))}: <a href="/asyncapi.yaml">asyncapi.yaml</a>. The HTTP API: <a href="/api/v1/docs">/api/v1/docs</a>. Schemas: <a href="/subjects">/subjects</a>.</p>
${prose(String(info.description))}
<table><thead><tr><th>Topic, after <code>${html(prefix)}</code></th><th></th><th>Holds</th></tr></thead><tbody>${rows.join("\n")}</tbody></table>
<h2>Headers of every topic but dead letters</h2>
${headersTable((traits.cloudEvent as Node).headers as Node)}
${sections.join("\n")}
${mqttSections(all.filter(isMqtt), document)}
</body></html>
`;
}

function channelSection(id: string, channel: Node, message: Node, prefix: string, headers?: Node): string {
  const kafka = ((channel.bindings as Node | undefined)?.kafka ?? {}) as Node;
  const config = Object.entries((kafka.topicConfiguration ?? {}) as Node).map(([key, value]) => `${key}=${value}`);
  const facts = [
    ...(kafka.partitions === undefined ? [] : [`${kafka.partitions} partitions`]),
    ...config.map((fact) => `<code>${html(fact)}</code>`),
  ];
  const key = (((message.bindings as Node | undefined)?.kafka as Node | undefined)?.key ?? {}) as Node;
  const payload = (message.payload as Node | undefined)?.schema as Node | undefined;
  const address = String(channel.address).replace("{prefix}", prefix);
  return `<section id="${html(id)}"><h2><code>${html(address)}</code> ${tagOf(channel)}</h2>
<p>${html(String(channel.summary))} ${html(String(channel.description))}</p>
${facts.length > 0 ? `<p>${facts.join(", ")}</p>` : ""}
${key.description === undefined ? "" : `<p><b>Key:</b> ${html(String(key.description))}</p>`}
<p><b>Value:</b> <code>${html(String(message.name))}</code>. ${html(String(message.summary))}</p>
${headers === undefined ? "" : headersTable(headers)}
${payload === undefined ? headersTable(message.headers as Node) : recordTable(payload)}
${payload === undefined ? "" : `<details><summary>Avro schema</summary><pre>${html(JSON.stringify(payload, null, 2))}</pre></details>`}
</section>`;
}

/** What devices publish and subscribe to. A record that Kafka has too is described there. */
function mqttSections(channels: readonly (readonly [string, Node])[], document: AsyncApi): string {
  const messages = (document.components as Node).messages as Node;
  const operations = Object.values(document.operations as Node) as Node[];
  const rows = channels.map(([id, channel]) => {
    const message = messages[id] as Node;
    const operation = operations.find((one) => (one.channel as Node).$ref === `#/channels/${id}`) as Node;
    const name = `<code>${html(String(message.title))}</code>`;
    const fingerprint = message["x-avro-fingerprint"];
    return [
      `<code id="${html(id)}">${html(String(channel.title))}</code>`,
      operation.action === "receive" ? "publishes" : "subscribes",
      fingerprint === undefined ? name : `${name} <code>${html(String(fingerprint))}</code>`,
      `${html(String(channel.summary))} ${html(String(channel.description))}`,
    ];
  });
  const details = channels.map(([id, channel]) => {
    const payload = (messages[id] as Node).payload as Node;
    if (payload.$ref !== undefined) return ""; // a record of a topic above
    const schema = (payload.schema ?? payload) as Node;
    const fields = schema.fields === undefined ? "" : recordTable(schema);
    const kind = schema.fields === undefined ? "JSON Schema" : "Avro schema";
    const title = `<h3><code>${html(String(channel.title))}</code></h3>`;
    return `${title}${fields}<details><summary>${kind}</summary><pre>${html(JSON.stringify(schema, null, 2))}</pre></details>`;
  });
  const heads = ["Topic, after <code>tributary/v1/DEVICE/</code>", "A device", "Payload, Avro fingerprint", "Holds"];
  return `<h2 id="mqtt">MQTT: what devices publish and subscribe to</h2>\n${table(heads, rows)}\n${details.join("\n")}`;
}

const headersTable = (headers: Node): string =>
  table(
    ["Header", "Is"],
    Object.entries(headers.properties as Node).map(([name, schema]) => [
      `<code>${html(name)}</code>`,
      html(String((schema as Node).description)),
    ]),
  );

/** Nested records follow as rows of their own, indented by their path. */
function recordTable(record: Node): string {
  const rows: string[][] = [];
  const add = (schema: Node, path: string): void => {
    for (const field of schema.fields as readonly Node[]) {
      const name = `${path}${field.name}`;
      const type = field.type as Json;
      const symbols = symbolsOf(type);
      const doc = html(String(field.doc ?? "")) + (symbols.length > 0 ? ` <i>${html(symbols.join(", "))}</i>` : "");
      rows.push([`<code>${html(name)}</code>`, `<code>${html(typeName(type))}</code>`, doc]);
      for (const [inner, suffix] of recordsIn(type)) add(inner, `${name}${suffix}.`);
    }
  };
  add(record, "");
  return table(["Field", "Type", "Is"], rows);
}

const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table><thead><tr>${heads.map((head) => `<th>${head}</th>`).join("")}</tr></thead><tbody>${rows
    .map((row) => `<tr>${row.map((cell) => `<td>${cell}</td>`).join("")}</tr>`)
    .join("\n")}</tbody></table>`;

const isUnion = (type: Json): type is readonly Json[] => Array.isArray(type);

export function typeName(type: Json): string {
  if (isUnion(type)) return type.map(typeName).join(" or ");
  if (typeof type === "string") return type;
  const schema = type as Node;
  if (schema.type === "array") return `array of ${typeName(schema.items as Json)}`;
  if (schema.type === "map") return `map of ${typeName(schema.values as Json)}`;
  return String(schema.logicalType ?? schema.name ?? schema.type);
}

function symbolsOf(type: Json): readonly string[] {
  if (isUnion(type)) return type.flatMap(symbolsOf);
  return ((type as Node)?.symbols as readonly string[] | undefined) ?? [];
}

function recordsIn(type: Json): readonly (readonly [Node, string])[] {
  if (isUnion(type)) return type.flatMap(recordsIn);
  if (type === null || typeof type !== "object") return [];
  const schema = type as Node;
  if (schema.type === "record") return [[schema, ""]];
  if (schema.type === "array") return recordsIn(schema.items as Json).map(([inner, rest]) => [inner, `[]${rest}`]);
  if (schema.type === "map") return recordsIn(schema.values as Json).map(([inner, rest]) => [inner, `{}${rest}`]);
  return [];
}

const tagOf = (channel: Node): string => {
  const name = String((channel.tags as readonly Node[])[0]?.name);
  return `<span class="${html(name)}">${html(name)}</span>`;
};

/** Paragraphs, `code` and **bold**: all that our descriptions use of Markdown. */
const prose = (markdown: string): string =>
  markdown
    .split("\n\n")
    .map((paragraph) => {
      const safe = html(paragraph).replaceAll(/`([^`]+)`/g, "<code>$1</code>");
      return `<p>${safe.replaceAll(/\*\*(.+?)\*\*/g, "<b>$1</b>")}</p>`;
    })
    .join("\n");

const ENTITIES: { readonly [character: string]: string } = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const html = (words: string): string => words.replaceAll(/[&<>"]/g, (character) => ENTITIES[character] as string);

const STYLE = `body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
code,pre{font:13px/1.4 ui-monospace,monospace}pre{overflow:auto;max-height:30rem;background:#f5f5f5;padding:1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #ddd}
h2{margin-top:3rem;border-top:2px solid #ddd;padding-top:1rem}small{color:#666;font-weight:normal}
.public,.internal{font-size:12px;padding:.1rem .5rem;border-radius:1rem;background:#d8f0dc;color:#14532d}.internal{background:#eee;color:#444}`;
