/** The agent's one YAML file. */
import { httpBlock, logBlock } from "@tributary/config";
import { PACKET_BYTES_MAX } from "@tributary/contracts";
import { ladderDefaults } from "@tributary/driving";
import { isValidId } from "@tributary/kernel";
import { z } from "zod";

const id = z.string().refine(isValidId, "expected letters, digits, - and _; at most 64, the first a letter or digit");
const path = z.string().min(1);
const fps = z.number().positive().max(1_000);
const whole = (min: number, max: number) => z.number().int().min(min).max(max);

/** Of a JPEG that is sent, by default: the bridge takes records of 2 MiB. */
export const FRAME_BYTES_MAX = 2_000_000;

/** Settings of every camera. */
const shared = {
  id,
  /** Frames that wait for the model. */
  queueFramesMax: whole(1, 256).default(4),
  /** Within this time after its capture a frame is answered, if need be by LITE or with the last label: `driving`. Only the newest
   * frame waits then, and nothing else of the agent is waited for. */
  deadlineMs: whole(10, 60_000).optional(),
};

/** `skip`: the newest frame wins and skipped ones are counted. `wait`: the source is paused, and no frame is skipped. */
const whenFull = z.enum(["skip", "wait"]);

const folderCamera = z.strictObject({
  ...shared,
  kind: z.literal("folder"),
  folder: path,
  fps: fps.default(10),
  loop: z.boolean().default(false),
  whenFull: whenFull.default("wait"),
});

const commandCamera = z.strictObject({
  ...shared,
  kind: z.literal("command"),
  /** Program and arguments; it writes JPEGs to its standard output. No shell. */
  command: z.array(z.string()).min(1),
  /** After the program ended. */
  restart: z.enum(["always", "on-failure", "never"]).default("always"),
  whenFull: whenFull.default("skip"),
});

const sheetCamera = z.strictObject({
  ...shared,
  kind: z.literal("sheet"),
  /** Folder with `index.json` and its sheets, or of JPEGs. */
  sheets: path,
  fps: fps.default(10),
  /** Number of frames after which it stops; without end by default. */
  frames: whole(1, 1_000_000_000).optional(),
  /** Photo of the first frame, and how far to the next. */
  start: whole(0, 1_000_000_000).default(0),
  stride: whole(1, 1_000_000_000).default(1),
  /** One JSON line a frame is appended here before the frame is written. */
  ledger: path.optional(),
  /** Continues after the frames that the ledger already has. */
  resume: z.boolean().default(false),
  whenFull: whenFull.default("wait"),
});

/** A file or a program whose output holds the value. */
const sensor = z
  .strictObject({
    /** `celsius`: a temperature. `throttled`: bits, as `vcgencmd get_throttled` and Raspberry Pi's kernel write them. */
    kind: z.enum(["celsius", "throttled"]),
    file: path.optional(),
    command: z.array(z.string()).min(1).optional(),
    /** What a number is multiplied by: .001 where a file has millidegrees. */
    scale: z.number().positive().default(1),
  })
  .refine(({ file, command }) => (file === undefined) !== (command === undefined), "expected either file or command");

/** How cameras with a deadline are answered. Times are of the ladder (libs/core/driving). */
const driving = z
  .strictObject({
    /** The small model that stands in for the full one, of the same labels, resident beside it. */
    lite: z
      .strictObject({
        package: path,
        /** A JPEG as the cameras make them, by which its worst time is measured; by default its golden frames. */
        picture: path.optional(),
        /** A second process of LITE, loaded and warm, that takes over where the first ends or hangs. Costs its memory once more. */
        spare: z.boolean().default(true),
      })
      .optional(),
    /** Of any `of` consecutive frames at least `met` are answered in time by a model. */
    firm: z
      .strictObject({ met: whole(1, 32), of: whole(2, 32) })
      .refine(({ met, of }) => met < of, "met is not below of")
      .default(ladderDefaults.firm),
    dwellMs: whole(0, 3_600_000).default(ladderDefaults.dwellMs),
    recoverMs: whole(0, 3_600_000).default(ladderDefaults.recoverMs),
    probeEveryMs: whole(10, 60_000).default(ladderDefaults.probeEveryMs),
    heat: z
      .strictObject({
        hotFrom: z.number().min(0).max(150).default(ladderDefaults.heat.hotFrom),
        coolBelow: z.number().min(0).max(150).default(ladderDefaults.heat.coolBelow),
        coolMs: whole(0, 3_600_000).default(ladderDefaults.heat.coolMs),
      })
      .refine(({ hotFrom, coolBelow }) => coolBelow < hotFrom, "coolBelow is not below hotFrom")
      .prefault({}),
    /** Frames that go to the cloud while the hardware is degraded. */
    fallback: z
      .strictObject({
        perSecondMax: z.number().positive().max(100).default(2),
        deadlineMs: whole(50, 60_000).default(1_000),
      })
      .prefault({}),
    /** By default each /sys/class/thermal/thermal_zone that there is. */
    sensors: z.array(sensor).max(32).optional(),
    sensorsEveryMs: whole(100, 60_000).default(1_000),
    /** Equal pictures, one after another, from which on a camera counts as frozen; 0: never. */
    frozenFrames: whole(0, 10_000).default(3),
    /** Whether pictures that cannot be of now count as missed (libs/core/driving, plausibility.ts): frozen but for a clock, noise, dark, white,
     * covered. */
    plausibility: z.boolean().default(true),
    /** Without a frame for so long a camera counts as silent; one with `fps` at the earliest after three periods. */
    silentMs: whole(50, 600_000).default(1_000),
    /** A label that is repeated, since the capture of its own frame. An older one is no answer: the answer's label is UNKNOWN, and with `safe` SAFE is signalled at the
     * first such frame. */
    label: z
      .strictObject({
        ageMsMax: whole(10, 600_000).default(2_000),
        whenOlder: z.enum(["unknown", "safe"]).default("unknown"),
      })
      .prefault({}),
    /** A program that is started at each change of the level, with TRIBUTARY_LEVEL and others in its environment. No shell. */
    hook: z.array(z.string()).min(1).optional(),
  })
  .prefault({});

/** The world model: slot `world`, whose table says how often each class is seen in a context. */
const world = z
  .strictObject({
    /** A new device's first one, as `tributary world init` makes it. */
    package: path,
    /** A JSON object of words and numbers, and `at`, when it was so: of a file, or of a program on this device by HTTP. */
    context: z
      .strictObject({
        file: path.optional(),
        url: z
          .string()
          .regex(/^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?\//, "expected http://127.0.0.1:PORT/...")
          .optional(),
      })
      .refine(({ file, url }) => (file === undefined) !== (url === undefined), "expected either file or url"),
    everyMs: whole(50, 600_000).default(1_000),
    /** An older one is not used. */
    ageMsMax: whole(100, 86_400_000).default(10_000),
  })
  .optional();

const camera = z.discriminatedUnion("kind", [folderCamera, commandCamera, sheetCamera]);

export const agentConfig = z
  .strictObject({
    deviceId: id,
    dataDir: path,
    hardwareClass: z.string().min(1).max(64).default(process.arch),
    /** Arm in predictions and frames, until a desired state names that of an experiment. */
    arm: z.string().min(1).max(64).default("default"),
    clock: z.enum(["auto", "synchronized", "unsynchronized"]).default("auto"),
    mqtt: z.strictObject({
      url: z.string().regex(/^mqtts?:\/\/[^\s]+$/, "expected mqtt://host:port or mqtts://host:port"),
      password: z.string().min(1),
      prefix: z.string().min(1).default("tributary"),
      /** The acknowledgement after which a record is deleted: the PUBACK, which the embedded bridge sends once Kafka has it;
       * or, with a broker that is not ours, the bridges' message on down/acks. */
      acks: z.enum(["puback", "kafka"]).default("puback"),
      /** With acks: kafka. A record that is not acknowledged for this time is sent again; the wait grows while none is. */
      ackTimeoutMs: whole(200, 600_000).default(15_000),
      keepaliveSeconds: whole(5, 3_600).default(30),
      connectTimeoutMs: whole(100, 120_000).default(10_000),
      backoff: z
        .strictObject({ minMs: whole(10, 60_000).default(250), maxMs: whole(10, 600_000).default(15_000) })
        .prefault({}),
    }),
    http: httpBlock.prefault({}),
    log: logBlock.prefault({}),
    model: z.strictObject({
      package: path,
      threads: whole(1, 64).default(1),
      /** A model's process that does not answer for so long is killed, and started again. By default 20 s; where a camera has a
       * deadline, 20 of the shortest and at least 1 s. */
      answerMsMax: whole(100, 600_000).optional(),
    }),
    /** Where newer models come from; without it, desired states are refused. */
    models: z
      .strictObject({
        registry: z.string().regex(/^https?:\/\/[^\s]+$/, "expected http://host:port or https://host:port"),
        /** The root of trust: root.json as the registry's owner gave it, of any version. */
        root: path,
        bytesPerSecondMax: whole(1_024, 2 ** 33).default(2 << 20),
        packageBytesMax: whole(1 << 10, 2 ** 31).default(256 << 20),
      })
      .optional(),
    /** How newer models are tested. */
    updates: z
      .strictObject({
        /** Memory that must be available before a second model is loaded beside the active one. */
        memoryBytesMin: whole(0, 2 ** 40).default(192 << 20),
        /** A report that the device is parked (POST /v1/conditions) holds for so long, and has to be repeated while it is. */
        parkedMsMax: whole(1_000, 86_400_000).default(30_000),
        backoff: z
          .strictObject({ minMs: whole(10, 600_000).default(1_000), maxMs: whole(10, 86_400_000).default(300_000) })
          .prefault({}),
      })
      .prefault({}),
    /** How often the model's golden frames run through the path that camera frames take; a day by default. */
    golden: z.strictObject({ everyMs: whole(1_000, 604_800_000).default(86_400_000) }).prefault({}),
    /** `separate`: the last core is for background work, disk and compilers; frames use the others. `shared`: no
     * such rule, for machines that several agents share. */
    cores: z.enum(["separate", "shared"]).default("separate"),
    cameras: z.array(camera).max(64).default([]),
    driving,
    world,
    outbox: z
      .strictObject({
        bytesMax: whole(1 << 20, 2 ** 40).default(256 << 20),
        windowRecords: whole(1, 1_024).default(16),
        windowBytes: whole(1 << 16, 1 << 28).default(4 << 20),
      })
      .prefault({}),
    predictions: z
      .strictObject({ batchWaitMs: whole(0, 600_000).default(1_000), batchMax: whole(1, 1_024).default(256) })
      .prefault({}),
    windows: z.strictObject({ lengthMs: whole(1_000, 3_600_000).default(60_000) }).prefault({}),
    limits: z
      .strictObject({
        /** A larger frame is classified but not sent: FRAME_TOO_LARGE. The rest of a packet beside the JPEG takes less than 1
         * MiB. */
        frameBytesMax: whole(1_024, PACKET_BYTES_MAX - (1 << 20)).default(FRAME_BYTES_MAX),
        /** A larger one is not even read. */
        cameraFrameBytesMax: whole(1_024, 64 << 20).default(8 << 20),
      })
      .prefault({}),
  })
  .refine((config) => new Set(config.cameras.map(({ id }) => id)).size === config.cameras.length, {
    path: ["cameras"],
    message: "every camera needs an id of its own",
  })
  .refine((config) => config.mqtt.backoff.minMs <= config.mqtt.backoff.maxMs, {
    path: ["mqtt", "backoff"],
    message: "minMs is above maxMs",
  })
  .refine((config) => config.updates.backoff.minMs <= config.updates.backoff.maxMs, {
    path: ["updates", "backoff"],
    message: "minMs is above maxMs",
  });

export type AgentConfig = z.output<typeof agentConfig>;
export type CameraConfig = AgentConfig["cameras"][number];
export type DrivingConfig = AgentConfig["driving"];

/** The shortest deadline of a camera; null: none has one. */
type Cameras = Pick<AgentConfig, "cameras">;

export const shortestDeadlineOf = ({ cameras }: Cameras): number | null => ofDeadlines(cameras, Math.min);
export const longestDeadlineOf = ({ cameras }: Cameras): number | null => ofDeadlines(cameras, Math.max);

function ofDeadlines(cameras: Cameras["cameras"], choose: (...ms: readonly number[]) => number): number | null {
  const deadlines = cameras.flatMap(({ deadlineMs }) => (deadlineMs === undefined ? [] : [deadlineMs]));
  return deadlines.length === 0 ? null : choose(...deadlines);
}
