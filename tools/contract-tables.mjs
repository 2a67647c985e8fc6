// The tables of docs/mqtt-contract.md that follow from the code; generate-asyncapi.mjs writes them there. Needs swc-hook.mjs.
const source = (path) => import(new URL(`../${path}`, import.meta.url).href);
const { downlinks, mqttTopics, uplinkStreams } = await source("libs/contracts/src/index.ts");
const { bridgeConfigSchema } = await source("edge/bridge/src/config.ts");

/** Markdown by the table's name. */
export const contractTables = () => ({
  topics: markdown(["Topic", "A device", "Retained", "Record", "Holds"], topicRows()),
  fingerprints: markdown(["Record", "Schema", "Version", "Fingerprint"], fingerprintRows()),
  limits: markdown(["`limits.`", "Default", "Limits"], limitRows()),
});

const up = Object.entries(uplinkStreams);
const down = Object.entries(downlinks);

function topicRows() {
  const code = (name, json) => `\`${name}\`${json ? `, \`${name}/json\`` : ""}`;
  const ups = up.map(([stream, { codec, holds }]) => [
    code(`up/${stream}`, true),
    "publishes",
    "no",
    `\`${codec.name}\``,
    holds,
  ]);
  const downs = down.map(([channel, { codec, text, json, retained, holds }]) => [
    code(`down/${channel}`, json),
    "subscribes",
    retained ? "yes" : "no",
    codec === null ? (text === undefined ? "bytes" : "text") : `\`${codec.name}\``,
    holds,
  ]);
  const availability = mqttTopics().availability("DEVICE").split("/").at(-1);
  const both = "`online`, `offline`";
  return [...ups, ...downs, [code(availability, false), "publishes", "yes", both, "whether the device is connected"]];
}

function fingerprintRows() {
  const codecs = [...up.map(([, { codec }]) => codec), ...down.flatMap(([, { codec }]) => codec ?? [])];
  return codecs.flatMap(({ name, versions }) => {
    const file = name.replaceAll(/(?<!^)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();
    const rows = [];
    for (const { version, fingerprint } of versions) {
      const same = rows.find((row) => row[3] === `\`${fingerprint}\``);
      // Two versions of one form: what differs is no part of it, such as a range.
      if (same === undefined) rows.push([`\`${name}\``, `\`${file}.avsc\``, `${version}`, `\`${fingerprint}\``]);
      else same[2] = `${same[2]}, ${version}`;
    }
    return rows;
  });
}

const ms = (value) => `${value / 1_000} s`;
const bytes = (value) => (value >= 2 ** 20 ? `${value / 2 ** 20} MiB` : `${value / 2 ** 10} KiB`);

function limitRows() {
  const { limits } = bridgeConfigSchema.parse({ kafka: { brokers: ["kafka:9092"] } });
  const { perDevice: d } = limits;
  const rate = (key, [perSecond, burst], format) => [
    `\`perDevice.${key}PerSecondMax\`, \`…BurstMax\``,
    `${format(perSecond)}, ${format(burst)}`,
  ];
  const plain = (value) => `${value}`;
  return [
    ["`frameBytesMax`", bytes(limits.frameBytesMax), "a record of `up/frames`; as JSON a third more"],
    ["`recordBytesMax`", bytes(limits.recordBytesMax), "a record of another stream; as JSON a third more"],
    ["`packetBytesMax`", bytes(limits.packetBytesMax), "a PUBLISH that is buffered whole"],
    ["`packetMsMax`", ms(limits.packetMsMax), "from a packet's first byte to its last; then the connection is closed"],
    ["`connectMsMax`", ms(limits.connectMsMax), "from opening a connection to the end of its CONNECT"],
    [
      "`takeoversPerMinuteMax`",
      plain(limits.takeoversPerMinuteMax),
      "connections that close the device's own live one",
    ],
    [
      "`clientBytesMax`",
      bytes(limits.clientBytesMax),
      "bytes read of a device and not yet in Kafka; more wait in its socket",
    ],
    ["`storeMsMax`", ms(limits.storeMsMax), "Kafka is down; then connections with waiting messages are closed"],
    ["`resultsQueuedMax`", plain(limits.resultsQueuedMax), "results queued for a slow device; the oldest is dropped"],
    [
      ...rate("messages", [d.messagesPerSecondMax, d.messagesBurstMax], plain),
      "beyond it the device is read more slowly; nothing is lost",
    ],
    [...rate("bytes", [d.bytesPerSecondMax, d.bytesBurstMax], bytes), "the same"],
    [
      ...rate("records", [d.recordsPerSecondMax, d.recordsBurstMax], plain),
      "the same: each message, and each prediction in it",
    ],
    [
      ...rate("kafkaBytes", [d.kafkaBytesPerSecondMax, d.kafkaBytesBurstMax], bytes),
      "the same: the records in Kafka that messages become; of a frame, twice its bytes",
    ],
    [
      ...rate("parsingMs", [d.parsingMsPerSecondMax, d.parsingMsBurstMax], plain),
      "the same: ms of a processor for parsing, by a model",
    ],
    [
      ...rate("subscriptions", [d.subscriptionsPerSecondMax, d.subscriptionsBurstMax], plain),
      "filters, granted or not; beyond it the connection is closed",
    ],
    [
      ...rate("deadLetters", [d.deadLettersPerSecondMax, d.deadLettersBurstMax], plain),
      "dead letters that are stored whole",
    ],
    [...rate("deadLetterBytes", [d.deadLetterBytesPerSecondMax, d.deadLetterBytesBurstMax], bytes), "the same"],
  ];
}

function markdown(heads, rows) {
  const widths = heads.map((head, i) =>
    Math.max(...[head, ...rows.map((row) => row[i] ?? "")].map(({ length }) => length)),
  );
  const line = (cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
  return [line(heads), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line), ""].join("\n");
}
