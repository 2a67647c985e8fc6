/** The command line of `npm start`. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";

export const HELP = `Runs the whole system on this machine: Kafka, bridge, router, cloud-classifier, model registry, rollout-manager,
drift-monitor, gateway, and agents with sample cameras, or with your own models and pictures. With --training also frame-archive
and trainer.

Usage: npm start -- [options]

  --edge-package DIR   your own model packages (from tributary models pack), of the same classes: for the devices,
  --cloud-package DIR  and for the cloud-classifier; give both or neither
  --camera FOLDER|COMMAND  the cameras' pictures: the JPEGs of a folder, repeated, or the standard output of a program that
                    writes JPEGs, e.g. "ffmpeg -re -i video.mp4 -f image2pipe -c:v mjpeg -". It runs without a shell
  --labels FILE     JSON, file of the folder -> class. The summary then has accuracies, and this program labels the random
                    sample in place of people: the router relearns, and rollouts are analysed by accuracy
  --light-devices N more devices with the same pictures, one frame a second each, many to a process: a canary
                    and its control need 8 devices each (0)
  --training        a frame archive and a trainer too: drift that loses frames starts a training, which waits for labels;
                    two more processes, and one while a model is trained
  --devices N       agents (4; 1 when the camera is a program)
  --fps N           frames per second of each agent (10)
  --frames N        frames of all agents together (unlimited)
  --exit            stop when each frame has its final answer; needs --frames
  --report FILE     write the verifier's report (JSON)
  --kafka BROKERS   host:port,...: use this cluster instead of starting Kafka
  --mqtt URL        mqtt://host:port of your own broker, behind which the bridges run; agents then use acks: kafka
  --bridges N       bridges that share its messages (1); needs --mqtt
  --mqtt-passwords FILE  lines user:password for bridge-1 ..., probe and device-1 ...; needs --mqtt. deploy/mosquitto has
                    the access rules that such a broker needs
  --fresh           delete the state of earlier runs: Kafka's data, devices, outboxes
  --help            this text

Ctrl-C or SIGTERM stops everything. All files are written below .local/run. Exit code: 0; 1 if the verifier finds a frame
lost or answered twice, or something failed; 2 for an invalid option, package, camera or labels; 130 if stopped before
--frames were answered.`;

export type StartOptions = {
  readonly packages: { readonly edge: string; readonly cloud: string } | undefined;
  /** A folder or a command line; the sample photos where undefined. */
  readonly camera: string | undefined;
  readonly labels: string | undefined;
  readonly lightDevices: number;
  readonly training: boolean;
  readonly devices: number | undefined;
  readonly fps: number | undefined;
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
const LIGHT_DEVICES_MAX = 512;
const FPS_MAX = 100;
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
  const text = (name: TextOption) => (typeof values[name] === "string" ? values[name] : undefined);
  const whole = (name: TextOption, max: number): number | undefined => {
    const given = values[name];
    if (typeof given !== "string") return undefined;
    const number = /^\d+$/.test(given) ? Number(given) : 0;
    if (number >= 1 && number <= max) return number;
    problems.push(`--${name} ${given}: expected a whole number from 1 to ${max}`);
    return undefined;
  };
  const devices = whole("devices", DEVICES_MAX);
  const lightDevices = whole("light-devices", LIGHT_DEVICES_MAX) ?? 0;
  const fps = whole("fps", FPS_MAX);
  const frames = whole("frames", FRAMES_MAX);
  const [edge, cloud] = [text("edge-package"), text("cloud-package")];
  if ((edge === undefined) !== (cloud === undefined)) {
    const [given, missing] = edge === undefined ? ["cloud", "edge"] : ["edge", "cloud"];
    problems.push(`--${given}-package needs --${missing}-package: edge and cloud need the same classes`);
  }
  if (values.labels !== undefined && values.camera === undefined)
    problems.push("--labels needs --camera FOLDER: it names the folder's files");
  const kafka = text("kafka")?.split(",");
  for (const broker of kafka ?? []) {
    if (!/^[^\s:/]+:\d{1,5}$/.test(broker)) problems.push(`--kafka ${broker}: expected host:port`);
  }
  const url = text("mqtt");
  if (url !== undefined && !/^mqtts?:\/\/[^\s/@]+$/.test(url))
    problems.push(`--mqtt ${url}: expected mqtt://host:port`);
  const bridges = whole("bridges", BRIDGES_MAX) ?? 1;
  for (const name of ["bridges", "mqtt-passwords"] as const) {
    if (values[name] !== undefined && url === undefined)
      problems.push(`--${name} needs --mqtt: otherwise the bridge is the broker`);
  }
  if (values.exit === true && values.frames === undefined) problems.push("--exit needs --frames");
  if (problems.length > 0) return { kind: "wrong", problems: [...new Set(problems)] };
  const report = text("report");
  return {
    kind: "run",
    options: {
      packages: edge === undefined || cloud === undefined ? undefined : { edge: inPlace(edge), cloud: inPlace(cloud) },
      camera: text("camera"),
      labels: inPlace(text("labels")),
      lightDevices,
      training: values.training === true,
      devices,
      fps,
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
export const startedIn = (): string => process.env.INIT_CWD ?? process.cwd();

const inPlace = <T extends string | undefined>(file: T): T =>
  (file === undefined ? undefined : resolve(startedIn(), file)) as T;

const options = {
  "edge-package": { type: "string" },
  "cloud-package": { type: "string" },
  camera: { type: "string" },
  labels: { type: "string" },
  "light-devices": { type: "string" },
  training: { type: "boolean" },
  fps: { type: "string" },
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
type TextOption = {
  [Name in keyof typeof options]: (typeof options)[Name]["type"] extends "string" ? Name : never;
}[keyof typeof options];
