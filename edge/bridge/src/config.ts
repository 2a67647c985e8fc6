/** The bridge's configuration file. Limits are checked against each other at start (G9). */
import { portSchema, sharedBlocks } from "@tributary/config";
import { DEVICE_BYTES_PER_SECOND_MAX, PACKET_BYTES_MAX, UPLINK_BYTES_MAX } from "@tributary/contracts";
import { RECORD_BYTES_MAX } from "@tributary/kafka";
import { z } from "zod";
import { externalFields, externalProblems } from "./external/settings.ts";
import { routeProblems, routesSchema } from "./routes.ts";

const KIB = 1_024;
const MIB = 1_024 * KIB;
const bytes = z.number().int().min(1);
const ms = z.number().int().min(1);
const count = z.number().int().min(1);

/** The limits of one device; beyond them its socket is read more slowly, and nothing is lost. The largest device that the
 * defaults are made for has two cameras of 30 frames/s, of which the policy lets it send a third: 20 frames of 64 KiB and
 * as many batches and reports a second, 40 messages and 1.3 MB. It gets twice the one and six times the other. A
 * backlog is limited to that rate, too: a burst would delay other devices. */
const deviceLimitsSchema = z
  .strictObject({
    messagesPerSecondMax: count.default(80),
    messagesBurstMax: count.default(10),
    bytesPerSecondMax: bytes.default(DEVICE_BYTES_PER_SECOND_MAX),
    bytesBurstMax: bytes.default(2 * MIB),
    /** What messages cost (cost.ts): each message, and each prediction in it. Two cameras make 60 a second; the burst is two of
     * the largest batches, and a backlog comes at the rate. */
    recordsPerSecondMax: count.default(1_000),
    recordsBurstMax: count.default(2_048),
    /** Their records in Kafka, and those that the router writes because of them: twice a frame's bytes. The largest device
     * makes 2.7 MB of them a second. */
    kafkaBytesPerSecondMax: bytes.default(8 * MIB),
    kafkaBytesBurstMax: bytes.default(6 * MIB),
    /** The processor time of their parsing, by a model: a twentieth of one core. */
    parsingMsPerSecondMax: ms.default(50),
    parsingMsBurstMax: ms.default(150),
    /** Filters, granted or not; beyond it the connection ends. A device subscribes to five when it connects. */
    subscriptionsPerSecondMax: count.default(2),
    subscriptionsBurstMax: count.default(100),
    /** Dead letters kept whole: 64 KiB/s are 5.3 GiB a day at worst. Others are counted, or wait if they can be replayed later. */
    deadLettersPerSecondMax: count.default(5),
    deadLettersBurstMax: count.default(500),
    deadLetterBytesPerSecondMax: bytes.default(64 * KIB),
    deadLetterBytesBurstMax: bytes.default(4 * MIB),
  })
  .prefault({});

const limitsSchema = z
  .strictObject({
    /** A larger payload on up/frames goes to the dead letters. */
    frameBytesMax: bytes.default(UPLINK_BYTES_MAX.frames),
    /** The same for every other stream. */
    recordBytesMax: bytes.default(UPLINK_BYTES_MAX.others),
    /** Of a larger PUBLISH only the beginning is kept, for its dead letter. */
    packetBytesMax: bytes.default(PACKET_BYTES_MAX),
    /** Received from one device and not yet stored. A single larger packet passes alone. */
    clientBytesMax: bytes.default(MIB),
    perDevice: deviceLimitsSchema,
    /** Received from all devices and not yet stored; beyond it sockets are not read. */
    inFlightBytesMax: bytes.default(64 * MIB),
    /** Authenticated devices. */
    connectionsMax: count.default(10_000),
    /** Connections that are not authenticated yet, beside those; room for a newcomer is made by ending a silent one. */
    unauthenticatedMax: count.default(4_096),
    /** The same from one address, or one IPv6 network of 64 bits. */
    unauthenticatedPerAddressMax: count.default(2_048),
    /** What all of them sent and the bridge holds. */
    unauthenticatedBytesMax: bytes.default(8 * MIB),
    /** Time from the opening of a connection to the end of its CONNECT packet. */
    connectMsMax: ms.default(5_000),
    /** How often in a minute a device may end its own live session by connecting again. */
    takeoversPerMinuteMax: count.default(10),
    /** From a packet's first byte to its last. */
    packetMsMax: ms.default(30_000),
    /** Checks of scrypt hashes waiting for a processor; beyond it those of the address with most of them are refused for now. */
    authenticationsMax: count.default(512),
    /** How long Kafka may be unavailable before waiting devices are disconnected; they send again. */
    storeMsMax: ms.default(60_000),
    /** How long a record waits for others to share its request to Kafka, if no request is in flight. */
    lingerMsMax: z.number().int().min(0).max(1_000).default(5),
    /** How long an MQTT broker of `mode: external` may be missing at the start before the process gives up. */
    startMsMax: ms.default(120_000),
    /** Answers waiting for one slow device; the oldest is dropped. */
    resultsQueuedMax: count.default(64),
    /** For records in flight, at the end. */
    shutdownMsMax: ms.default(5_000),
  })
  .refine((l) => Math.max(l.frameBytesMax, l.recordBytesMax) <= RECORD_BYTES_MAX - 64 * KIB, {
    path: ["frameBytesMax"],
    message: `must leave 65536 of the ${RECORD_BYTES_MAX} bytes the topics take, and so must recordBytesMax`,
  })
  .refine((l) => l.packetBytesMax >= l.frameBytesMax + 64 * KIB, {
    path: ["packetBytesMax"],
    message: "must exceed frameBytesMax by at least 65536, or a frame that is allowed would be cut",
  })
  .refine((l) => l.unauthenticatedPerAddressMax <= l.unauthenticatedMax, {
    path: ["unauthenticatedPerAddressMax"],
    message: "must not exceed unauthenticatedMax, or one address could take every place",
  })
  .refine((l) => l.unauthenticatedBytesMax >= 1_024 * 1_024, {
    path: ["unauthenticatedBytesMax"],
    message: "must be at least 1048576, room for some CONNECT packets of the largest size",
  })
  .refine((l) => l.inFlightBytesMax >= l.packetBytesMax, {
    path: ["inFlightBytesMax"],
    message: "must be at least packetBytesMax, or the largest packet would wait forever",
  });

const bridgeConfigFields = z.strictObject({
  ...sharedBlocks,
  mqtt: z
    .strictObject({
      /** `embedded`: the bridge is the broker. `external`: any MQTT 5 broker is, and bridges share its devices' messages. */
      mode: z.enum(["embedded", "external"]).default("embedded"),
      host: z.string().min(1).default("127.0.0.1"),
      port: portSchema.default(1883),
      /** First levels of every topic of the device contract. */
      prefix: z
        .string()
        .regex(/^[^/+#$\s][^+#\s]{0,99}(?<!\/)$/, "expected topic levels without wildcards")
        .default("tributary"),
      ...externalFields,
    })
    .prefault({}),
  limits: limitsSchema.prefault({}),
  /** MQTT topics outside the contract into Kafka topics outside ours; see README.md. */
  routes: routesSchema,
});

export const bridgeConfigSchema = bridgeConfigFields.superRefine(({ routes, mqtt, kafka }, context) => {
  const prefixes = { mqtt: mqtt.prefix, kafka: kafka.prefix };
  for (const { path, message } of routeProblems(routes, { prefixes, mode: mqtt.mode })) {
    context.addIssue({ code: "custom", path, message });
  }
  for (const { path, message } of externalProblems(mqtt)) context.addIssue({ code: "custom", path, message });
});

export type BridgeConfig = z.output<typeof bridgeConfigSchema>;
export type BridgeLimits = BridgeConfig["limits"];
