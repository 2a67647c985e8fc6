/** Prints each frame's final answer as a line of JSON: the first record of the frame in its partition counts. */
import avro from "avsc";
import { Kafka, logLevel } from "kafkajs";

const { BROKERS, REGISTRY, GROUP, TOPIC_PREFIX, TRIBUTARY_TOKEN } = process.env;
const topic = `${TOPIC_PREFIX ?? "tributary."}classifications.v1`;

type Answer = { cameraId: string; frameSeq: bigint; label: string; source: string; settledBy: string };
type Classifications = { deviceId: string; bootId: bigint; answers: Answer[] };

/** Boots and frame numbers have 63 bits: more than a JavaScript number holds. */
const long = avro.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(value);
    return bytes;
  },
  fromJSON: BigInt,
  toJSON: String,
  isValid: (value: unknown) => typeof value === "bigint",
  compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
});

const schemas = new Map<number, avro.Type>();

/** The schema that wrote a record, by the id in its first five bytes. */
async function schemaOf(id: number): Promise<avro.Type> {
  const known = schemas.get(id);
  if (known !== undefined) return known;
  const headers: Record<string, string> = TRIBUTARY_TOKEN ? { authorization: `Bearer ${TRIBUTARY_TOKEN}` } : {};
  const response = await fetch(`${REGISTRY ?? "http://127.0.0.1:8080"}/schemas/ids/${id}`, { headers });
  if (!response.ok) throw new Error(`schema ${id}: ${response.status} ${await response.text()}`);
  const { schema } = (await response.json()) as { schema: string };
  const type = avro.Type.forSchema(JSON.parse(schema), { registry: { long } });
  schemas.set(id, type);
  return type;
}

async function decode(value: Buffer): Promise<Classifications> {
  if (value[0] !== 0) throw new Error("not Confluent's wire format");
  return (await schemaOf(value.readInt32BE(1))).fromBuffer(value.subarray(5));
}

const kafka = new Kafka({ brokers: (BROKERS ?? "127.0.0.1:9092").split(","), logLevel: logLevel.WARN });
const consumer = kafka.consumer({ groupId: GROUP ?? "answers-typescript" });
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void consumer.disconnect());

const final = new Set<string>(); // In your program: a table whose primary key is the frame; keep what is there.
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
await consumer.run({
  // kafkajs commits behind what this has returned from: only after the answers are stored.
  eachMessage: async ({ message }) => {
    if (message.value === null) return;
    const { deviceId, bootId, answers } = await decode(message.value);
    for (const { cameraId, frameSeq, label, source, settledBy } of answers) {
      const frame = `${deviceId}:${bootId}:${cameraId}:${frameSeq}`;
      if (final.has(frame)) continue; // A repeat.
      final.add(frame);
      console.log(JSON.stringify({ frame, label, source, settledBy }));
    }
  },
});
