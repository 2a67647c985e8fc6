/** The command line of `npm start`. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";

export const HELP = `Runs the whole system on this machine: Kafka, bridge, router, cloud-classifier, gateway, and agents on sample cameras.

Usage: npm start -- [options]

  --devices N       agents (4)
  --frames N        frames in all; endless unless told
  --exit            stop when each frame has its final answer; needs --frames
  --report FILE     write the verifier's report (JSON)
  --kafka BROKERS   host:port,...: use this cluster instead of an own Kafka
  --mqtt URL        mqtt://host:port of a broker that is there: the bridge is not the broker, and agents wait for Kafka's word
  --bridges N       bridges that share its messages (1); needs --mqtt
  --mqtt-passwords FILE  lines user:password for bridge-1 ..., probe and device-1 ...; needs --mqtt. deploy/mosquitto has
                    the rules that such a broker needs
  --fresh           forget what earlier runs left: Kafka's data, devices, outboxes
  --help            this text

Ctrl-C or SIGTERM stops everything. Everything written is under .local/run. Exit code: 0; 1 when the verifier finds a frame
lost or answered twice, or something failed; 2 for a wrong option; 130 when stopped before --frames were answered.`;

export type StartOptions = {
  readonly devices: number;
  readonly frames: number | undefined;
  readonly exit: boolean;
  readonly report: string | undefined;
  readonly kafka: readonly string[] | undefined;
  readonly mqtt:
    | { readonly url: string; readonly bridges: number; readonly passwordsFile: string | undefined }
    | undefined;
  readonly fresh: boolean;
};

export type Parsed =
  | { readonly kind: "run"; readonly options: StartOptions }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly problems: readonly string[] };

const DEVICES_MAX = 64;
const BRIDGES_MAX = 8;
const FRAMES_MAX = 1_000_000;

/** Names every wrong option at once. */
export function parseOptions(argv: readonly string[]): Parsed {
  const { values, tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  if (values.help === true) return { kind: "help" };
  const problems: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") problems.push(`"${token.value}" is not an option`);
    else if (token.kind === "option" && !(token.name in options)) problems.push(`${token.rawName} is not an option`);
    else if (token.kind === "option") {
      const wants = options[token.name as keyof typeof options].type;
      if (wants === "string" && token.value === undefined) problems.push(`${token.rawName} needs a value`);
      if (wants === "boolean" && token.value !== undefined) problems.push(`${token.rawName} takes no value`);
    }
  }
  const text = (name: "kafka" | "report" | "mqtt" | "mqtt-passwords") =>
    typeof values[name] === "string" ? values[name] : undefined;
  const whole = (name: "devices" | "frames" | "bridges", max: number): number | undefined => {
    const given = values[name];
    if (typeof given !== "string") return undefined;
    const number = /^\d+$/.test(given) ? Number(given) : 0;
    if (number >= 1 && number <= max) return number;
    problems.push(`--${name} ${given}: a whole number from 1 to ${max} is needed`);
    return undefined;
  };
  const devices = whole("devices", DEVICES_MAX) ?? 4;
  const frames = whole("frames", FRAMES_MAX);
  const kafka = text("kafka")?.split(",");
  for (const broker of kafka ?? []) {
    if (!/^[^\s:/]+:\d{1,5}$/.test(broker)) problems.push(`--kafka ${broker}: host:port is needed`);
  }
  const url = text("mqtt");
  if (url !== undefined && !/^mqtts?:\/\/[^\s/@]+$/.test(url))
    problems.push(`--mqtt ${url}: mqtt://host:port is needed`);
  const bridges = whole("bridges", BRIDGES_MAX) ?? 1;
  for (const name of ["bridges", "mqtt-passwords"] as const) {
    if (values[name] !== undefined && url === undefined)
      problems.push(`--${name} needs --mqtt: else the bridge is the broker`);
  }
  if (values.exit === true && values.frames === undefined)
    problems.push("--exit needs --frames: an endless run has no end");
  if (problems.length > 0) return { kind: "wrong", problems: [...new Set(problems)] };
  const report = text("report");
  return {
    kind: "run",
    options: {
      devices,
      frames,
      exit: values.exit === true,
      report: inPlace(report),
      kafka,
      mqtt: url === undefined ? undefined : { url, bridges, passwordsFile: inPlace(text("mqtt-passwords")) },
      fresh: values.fresh === true,
    },
  };
}

/** npm runs scripts in the repository; INIT_CWD is where the person is. */
const inPlace = (file: string | undefined): string | undefined =>
  file === undefined ? undefined : resolve(process.env.INIT_CWD ?? process.cwd(), file);

const options = {
  devices: { type: "string" },
  frames: { type: "string" },
  exit: { type: "boolean" },
  report: { type: "string" },
  kafka: { type: "string" },
  mqtt: { type: "string" },
  bridges: { type: "string" },
  "mqtt-passwords": { type: "string" },
  fresh: { type: "boolean" },
  help: { type: "boolean" },
} as const;
