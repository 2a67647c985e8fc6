/** A registry that is unavailable, refuses, conflicts or is malformed: reported, counted, and valid records continue. */
import { describe, expect, test } from "@jest/globals";
import { Codec, EdgeMetrics, fingerprintOf, topics } from "@tributary/contracts";
import type { Clock } from "@tributary/kernel";
import type { Telemetry } from "@tributary/telemetry";
import { type SchemaRegistryAccess, schemaRegistryClient } from "./client.ts";
import { ExternalSchemaRegistry } from "./external.ts";
import { hasSchema, json, StubSchemaRegistry } from "./stub-registry.test-kit.ts";

type Emitted = { readonly event: string; readonly [field: string]: unknown };

/** Of one topic whose contract has two versions. */
const first = { type: "record", name: "Thing", namespace: "t", fields: [{ name: "id", type: "string" }] };
const withField = (field: unknown) => ({ ...first, fields: [...first.fields, field] });
const second = withField({ name: "count", type: "long", default: 0 });
const third = withField({ name: "other", type: ["null", "string"], default: null });
const incompatible = { ...first, fields: [{ name: "id", type: "long" }] };
const SUBJECT = "p.things.v1-value";

function setUp(stub: StubSchemaRegistry, access: Partial<SchemaRegistryAccess & { autoRegister: boolean }> = {}) {
  const codec = new Codec<{ id: string; count: bigint }>(
    "Thing",
    [first, second].map((schema, i) => ({ version: i + 1, id: i + 1, fingerprint: fingerprintOf(schema), schema })),
  );
  const emitted: Emitted[] = [];
  const waits: number[] = [];
  let nowMs = 0;
  const clock: Clock = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    sleep: async (ms) => {
      waits.push(ms);
      nowMs += ms;
    },
  };
  const telemetry = {
    emit: ({ name }: { name: string }, fields: object) => emitted.push({ event: name, ...fields }),
  } as unknown as Telemetry;
  const schemaRegistry = { url: "http://registry.test/api/", autoRegister: true, ...access };
  const external = new ExternalSchemaRegistry({
    schemaRegistry,
    prefix: "p.",
    telemetry,
    clock,
    random: () => 0.5,
    client: schemaRegistryClient(schemaRegistry, ((url: string, init: RequestInit) =>
      stub.fetch(url.replace("/api/", "/"), init)) as typeof fetch),
    topics: [{ name: "things.v1", codec: codec as Codec<unknown> }],
  });
  external.start();
  const codes = (event: string, field: string) => emitted.filter((one) => one.event === event).map((one) => one[field]);
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { external, codec, emitted, waits, codes, pass };
}

const idOf = (value: Buffer) => value.readInt32BE(1);
const failing = (status: number, text: string) => () => new Response(text, { status });

describe("at start", () => {
  test("missing versions are registered oldest first, and records carry the registry's ids in Kafka and ours inside", async () => {
    const stub = new StubSchemaRegistry();
    const { external, codec } = setUp(stub);
    expect(external.health).not.toBe(true);
    await external.ready();
    expect(external.health).toBe(true);
    expect(stub.subjects.get(SUBJECT)?.map(({ id }) => id)).toEqual([100, 101]);
    expect(stub.levels.get(SUBJECT)).toBe("FULL_TRANSITIVE");
    const ours = codec.encodeConfluent({ id: "a", count: 7n });
    const stored = external.toKafka("things.v1", ours);
    expect([idOf(ours), idOf(stored), external.idOf("things.v1", 2)]).toEqual([2, 101, 101]);
    expect(await external.fromKafka("things.v1", stored)).toEqual(ours);
    expect(external.toKafka("of-somebody-else", ours)).toBe(ours);
    const tombless = Buffer.from("no Avro");
    expect(external.toKafka("things.v1", tombless)).toBe(tombless);
  });

  test("existing schemas are taken, by their canonical form, and nothing is written", async () => {
    const stub = new StubSchemaRegistry(1);
    stub.put("somebody-elses", "string");
    stub.put(SUBJECT, { ...first, doc: "worded otherwise" });
    stub.put(SUBJECT, second);
    const { external } = setUp(stub, { autoRegister: false });
    await external.ready();
    expect(stub.calls.every((call) => call.startsWith("GET"))).toBe(true);
    expect([external.idOf("things.v1", 1), external.idOf("things.v1", 2)]).toEqual([2, 3]);
  });

  test("the second of two services that register at once takes the schemas that the first has registered", async () => {
    const stub = new StubSchemaRegistry();
    const taken = () => {
      for (const schema of [first, second]) stub.put(SUBJECT, schema);
      return json(409, { error_code: 409, message: "A version already exists." });
    };
    // Lists nothing; is refused; looks again (a list, two versions); registers the other; sets the level.
    stub.faults.push(undefined, taken, undefined, undefined, undefined, undefined, () =>
      json(409, { message: "A rule exists." }),
    );
    const { external } = setUp(stub);
    await external.ready();
    expect([external.idOf("things.v1", 1), external.idOf("things.v1", 2)]).toEqual([100, 101]);
    expect(stub.faults).toEqual([]);
  });

  test.each([
    [
      "a registry that is unreachable",
      () => Promise.reject(new TypeError("fetch failed")),
      "schema-registry-unavailable",
    ],
    ["503", failing(503, "starting"), "schema-registry-unavailable"],
    ["429", failing(429, "slow down"), "schema-registry-unavailable"],
    ["a proxy's page", failing(200, "<html>Welcome</html>"), "schema-registry-bad-response"],
    ["half a body", failing(200, '{"schema": "{'), "schema-registry-bad-response"],
    ["another shape", () => json(200, { versions: [1] }), "schema-registry-bad-response"],
    ["another server's 404", () => json(404, { message: "no such page" }), "schema-registry-bad-response"],
    ["an endless answer", () => new Response("x".repeat(5 << 20)), "schema-registry-bad-response"],
  ])("%s is named, counted, waited out, and health reports it meanwhile", async (_what, fault, code) => {
    const stub = new StubSchemaRegistry();
    stub.faults.push(fault, fault, fault);
    const { external, codes, waits } = setUp(stub);
    await external.ready();
    expect(codes("schema_registry_away", "code")).toEqual([code, code, code]);
    expect(waits).toEqual([500, 750, 1_250]);
    expect(codes("schema_registry_away", "reason")[0]).toMatch(
      /^GET http:\/\/registry\.test\/api\/subjects\/p\.things/,
    );
    expect(external.health).toBe(true);
  });

  test("health names the trouble while it lasts", async () => {
    const stub = new StubSchemaRegistry();
    const { promise, resolve } = Promise.withResolvers<Response>();
    stub.faults.push(failing(502, "bad gateway"), () => promise);
    const { external } = setUp(stub);
    while (stub.calls.length < 2) await new Promise(setImmediate);
    expect(external.health).toMatch(/502 bad gateway/);
    resolve(json(200, []));
    await external.ready();
  });

  test.each([
    [
      "a schema that does not fit ours",
      () => {},
      /p\.things\.v1-value version 1 \(id 100\): /,
      "schema-registry-conflict",
    ],
    ["wrong credentials", failing(401, "who are you"), /401/, "schema-registry-refused"],
    [
      "a read-only registry",
      () => json(422, { error_code: 42205, message: "read-only mode" }),
      /read-only/,
      "schema-registry-refused",
    ],
  ])("%s: nothing is written, and the process is ended with the reason", async (what, fault, message, code) => {
    const stub = new StubSchemaRegistry();
    if (what.startsWith("a schema")) stub.put(SUBJECT, incompatible);
    else stub.faults.push(fault as () => Response);
    const { external, codes } = setUp(stub);
    await expect(external.ready()).rejects.toThrow(message);
    expect(codes("schema_registry_refused", "code")).toEqual([code]);
    expect(stub.calls.every((call) => call.startsWith("GET"))).toBe(true);
  });

  test("without autoRegister a missing schema is refused by name", async () => {
    const { external } = setUp(new StubSchemaRegistry(), { autoRegister: false });
    await expect(external.ready()).rejects.toThrow(/lacks schemas of p\.things\.v1-value; .*autoRegister/);
  });
});

describe("an id that was not known at start", () => {
  test("of a newer build is asked for once, learned, and read as today's shape", async () => {
    const stub = new StubSchemaRegistry();
    const { external, codec, codes } = setUp(stub);
    await external.ready();
    const newer = new Codec<{ id: string; other: string | null }>("Thing", [
      { version: 3, id: stub.put(SUBJECT, third), fingerprint: fingerprintOf(third), schema: third },
    ]);
    const stored = newer.encodeConfluent({ id: "b", other: "x" });
    const calls = stub.calls.length;
    const [value] = await Promise.all([1, 2, 3].map(() => external.fromKafka("things.v1", stored)));
    expect({ ...codec.decodeConfluent(value as Buffer) }).toEqual({ id: "b", count: 0n });
    expect(stub.calls.length - calls).toBe(1);
    expect(codes("schema_looked_up", "outcome")).toEqual(["learned"]);
    expect(hasSchema(stub, SUBJECT, third)).toBe(true);
  });

  test("that is unknown, or of another schema, goes to the dead letters with its original bytes, and is never taken for ours", async () => {
    const stub = new StubSchemaRegistry();
    const { external, codec, codes } = setUp(stub);
    await external.ready();
    const foreign = stub.put("somebody-elses", incompatible);
    for (const id of [1, 2, 9_999, foreign, -5]) {
      const stored = Buffer.from([0, 0, 0, 0, 0, 2, 97, 0]);
      stored.writeInt32BE(id, 1);
      const inside = await external.fromKafka("things.v1", stored);
      expect(() => codec.decodeConfluent(inside)).toThrow(expect.objectContaining({ code: "schema-unknown-id" }));
      expect(external.toKafka("things.v1.router.dlq", inside)).toEqual(stored);
      expect(external.toKafka("things.v1.bridge.dlq", inside)).toBe(inside); // A device's bytes are never touched.
    }
    expect(codes("schema_looked_up", "outcome")).toEqual(["unknown", "unknown", "unknown", "unreadable", "unknown"]);
  });

  test("a device's newer fingerprint is learned from the subject, once; an unknown one is looked up once", async () => {
    const stub = new StubSchemaRegistry();
    const { external, codec, codes } = setUp(stub);
    await external.ready();
    const id = stub.put(SUBJECT, third);
    expect(codec.withFingerprint(fingerprintOf(third))).toBeUndefined();
    await Promise.all([1, 2].map(() => external.learnFingerprint("things.v1", fingerprintOf(third))));
    expect(codec.withFingerprint(fingerprintOf(third))?.id).toBe(id);
    await external.learnFingerprint("things.v1", "0123456789abcdef");
    expect(external.learnFingerprint("things.v1", "0123456789abcdef")).toBeUndefined();
    expect(external.learnFingerprint("of-somebody-else", "0123456789abcdef")).toBeUndefined();
    expect(codes("schema_looked_up", "outcome")).toEqual(["learned", "unknown"]);
  });

  test("is asked for again after an outage, but a flood of them is no flood of calls", async () => {
    const stub = new StubSchemaRegistry();
    const { external, codec, codes, pass } = setUp(stub);
    await external.ready();
    const record = (id: number) => Buffer.from([0, 0, 0, id >> 8, id & 255, 2, 97, 0]);
    stub.faults.push(failing(500, "down"));
    const id = stub.put(SUBJECT, third);
    await external.fromKafka("things.v1", record(id));
    expect(codes("schema_looked_up", "outcome")).toEqual(["schema-registry-unavailable"]);
    const value = await external.fromKafka("things.v1", record(id));
    expect({ ...codec.decodeConfluent(value) }).toEqual({ id: "a", count: 0n });
    const calls = stub.calls.length;
    for (let stray = 1_000; stray < 1_100; stray++) await external.fromKafka("things.v1", record(stray));
    expect(stub.calls.length - calls).toBe(8);
    pass(5_000);
    await external.fromKafka("things.v1", record(2_000));
    expect(stub.calls.length - calls).toBe(9);
  });
});

test("the contract's own topics agree with an empty registry, and with themselves again", async () => {
  const stub = new StubSchemaRegistry(1_000);
  const emitted: string[] = [];
  const telemetry = { emit: ({ name }: { name: string }) => emitted.push(name) } as unknown as Telemetry;
  const start = async () => {
    const external = new ExternalSchemaRegistry({
      schemaRegistry: { url: "http://registry.test", autoRegister: true },
      prefix: "p.",
      telemetry,
      client: schemaRegistryClient({ url: "http://registry.test" }, stub.fetch),
    });
    external.start();
    await external.ready();
    return external;
  };
  const once = await start();
  expect(stub.subjects.size).toBe(Object.keys(topics).length);
  const written = stub.calls.filter((call) => !call.startsWith("GET")).length;
  const again = await start();
  expect(stub.calls.filter((call) => !call.startsWith("GET"))).toHaveLength(written);
  const { name, codec } = topics.metrics;
  expect(again.idOf(name, EdgeMetrics.current.id)).toBe(once.idOf(name, EdgeMetrics.current.id));

  // Two versions of metrics differ in documentation alone. Between another service's two registrations only the first is there.
  const [earlier, latest] = codec.versions.slice(-2);
  expect(earlier?.fingerprint).toBe(latest?.fingerprint);
  const both = stub.subjects.get(`p.${name}-value`);
  const newest = both?.pop();
  const between = await start();
  expect(between.idOf(name, latest?.id ?? 0)).toBe(both?.at(-1)?.id);
  expect(both?.at(-1)?.text).toBe(newest?.text);
  expect(between.idOf(name, earlier?.id ?? 0)).toBe(once.idOf(name, earlier?.id ?? 0));
  expect(between.idOf(name, earlier?.id ?? 0)).not.toBe(between.idOf(name, latest?.id ?? 0));
});
