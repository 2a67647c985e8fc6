import { describe, expect, test } from "@jest/globals";
import { EdgeMetrics, frameConfluent, frameSingleObject } from "@tributary/contracts";
import { bridgeConfigSchema } from "./config.ts";
import { openRoute, type RouteConfig, routeOf, subscriptionOf } from "./routes.ts";
import { judgeUplink, type Uplink } from "./uplink.ts";

const LIMITS = { frameBytesMax: 4_096, recordBytesMax: 256 };
const route = (change: Partial<RouteConfig> = {}): RouteConfig => ({
  filter: "plant/+/temperature",
  topic: "plant.temperature.v1",
  format: "json",
  key: "device",
  ...change,
});
const open = (...routes: RouteConfig[]) =>
  routes.map((one) => openRoute(one, () => JSON.stringify(EdgeMetrics.current.schema)));
const judge = (routes: RouteConfig[], change: Partial<Uplink> = {}) =>
  judgeUplink(
    {
      principal: "meter-1",
      topic: "plant/4/temperature",
      payload: Buffer.from("21.5"),
      qos: 1,
      retain: false,
      ...change,
    },
    LIMITS,
    "tributary",
    open(...routes),
  );

describe("a configuration", () => {
  const problemsOf = (...routes: unknown[]): string[] => {
    const parsed = bridgeConfigSchema.safeParse({ routes });
    return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  };

  test.each<[string, string, unknown]>([
    ["a filter of everything", "routes.0.filter: meets topics of the device contract", route({ filter: "#" })],
    [
      "of our root",
      "routes.0.filter: meets topics of the device contract",
      route({ filter: "tributary/v1/%d/up/frames" }),
    ],
    ["of any first level", "routes.0.filter: meets topics of the device contract", route({ filter: "+/v1/#" })],
    ["of the broker's", "routes.0.filter: topics that begin with $", route({ filter: "$SYS/#" })],
    ["# inside", "routes.0.filter: # stands at the end", route({ filter: "plant/#/x" })],
    ["part of a level", 'routes.0.filter: "a+": + and # stand for whole levels', route({ filter: "plant/a+" })],
    ["part of a device", 'routes.0.filter: "cam-%d"', route({ filter: "plant/cam-%d" })],
    ["two devices", "routes.0.filter: %d stands once", route({ filter: "plant/%d/%d" })],
    [
      "a topic of ours",
      "routes.0.topic: topics that begin with tributary.",
      route({ topic: "tributary.edge.frames.v1" }),
    ],
    ["a topic of Kafka's", "routes.0.topic: topics that begin with __", route({ topic: "__consumer_offsets" })],
    ["no topic", "routes.0.topic: expected a Kafka topic", route({ topic: "plant/temperature" })],
    ["another format", "routes.0.format: ", { ...route(), format: "xml" }],
    ["a schema of nothing", "routes.0.schema: only format: avro", route({ schema: "x.avsc" })],
    ["a level that is none", "routes.0.key: level 3: the filter has 3", route({ key: { level: 3 } })],
    ["an unknown key", "routes.0: Unrecognized key", { ...route(), qos: 1 }],
  ])("%s is reported", (_, problem, wrong) => {
    expect(problemsOf(wrong)).toEqual([expect.stringContaining(problem)]);
  });

  test("refuses invalid routes by name, and takes the others", () => {
    const [wide, narrow] = [route({ filter: "plant/#" }), route({ filter: "plant/%d/state" })];
    expect(problemsOf(wide, narrow)).toEqual(["routes.1.filter: never taken: routes[0] takes all that it fits (X3)"]);
    expect(
      problemsOf(narrow, wide, route({ filter: "a/%d/x" }), route({ filter: "a/+/w/#", key: { level: 5 } })),
    ).toEqual([]);
  });

  test("with another prefix keeps to that one", () => {
    const parsed = bridgeConfigSchema.safeParse({
      kafka: { prefix: "acme." },
      mqtt: { prefix: "fleet/a" },
      routes: [route({ filter: "fleet/b/x", topic: "acme.x" }), route({ filter: "fleet/a/x", topic: "y" })],
    });
    const paths = parsed.error?.issues.map(({ path }) => path.join("."));
    expect(paths).toEqual(["routes.0.topic", "routes.1.filter"]);
  });
});

test("behind a foreign broker a route's key needs a device that its topic names", () => {
  const mqtt = { mode: "external", url: "mqtt://127.0.0.1:1", clientId: "bridge-1" };
  const problemsOf = (...routes: unknown[]) => bridgeConfigSchema.safeParse({ mqtt, routes }).error?.issues ?? [];
  expect(problemsOf(route({ filter: "a/%d" }), route({ filter: "b/+", key: "topic" }))).toEqual([]);
  expect(problemsOf(route()).map(({ path }) => path.join("."))).toEqual(["routes.0.key"]);
});

describe("a message", () => {
  test("takes the first matching route, with its key (routes.ts X3)", () => {
    const routes = [
      route({ filter: "plant/+/temperature", key: { level: 1 } }),
      route({ filter: "plant/#", topic: "plant.rest.v1", format: "raw", key: "topic" }),
    ];
    expect(judge(routes)).toMatchObject({
      kind: "route",
      key: "4",
      route: { config: { topic: "plant.temperature.v1" } },
    });
    for (const topic of ["plant", "plant/4", "plant/4/temperature/x", "plant//"]) {
      expect(judge(routes, { topic })).toMatchObject({ kind: "route", key: topic });
    }
    for (const topic of ["plants/4", "/plant", "", "$SYS/broker", "plant/+", "plant/#"]) {
      expect(judge(routes, { topic })).toMatchObject({ kind: "refuse", reason: "topic-unknown", stream: "unknown" });
    }
  });

  test("is the device's own where the route sets it (routes.ts X2)", () => {
    const own = route({ filter: "meters/%d/value" });
    expect(judge([own], { topic: "meters/meter-1/value" })).toMatchObject({ kind: "route", key: "meter-1" });
    expect(judge([own], { topic: "meters/meter-2/value" })).toMatchObject({ reason: "topic-of-another-device" });
    const anybodys = route({ filter: "meters/+/value", topic: "x" });
    expect(routeOf(open(own, anybodys), "meters/meter-2/value", "meter-1")).toMatchObject({ config: anybodys });
    expect(subscriptionOf(own)).toBe("meters/+/value");
  });

  test("never takes a topic of the contract", () => {
    expect(judge([route({ filter: "+/+" })], { topic: "tributary/v1/meter-1/up/frames" })).toMatchObject({
      reason: "framing-unknown",
    });
  });

  test("is of its format, of QoS 0 or 1, and not too large", () => {
    expect(judge([route()], { qos: 0, retain: true })).toMatchObject({ kind: "route" });
    expect(judge([route()], { qos: 2 })).toMatchObject({ reason: "qos-2" });
    expect(judge([route()], { payload: Buffer.from("{'a': 1}") })).toMatchObject({ reason: "payload-not-json" });
    expect(judge([route()], { payload: Buffer.alloc(0) })).toMatchObject({ reason: "payload-not-json" });
    expect(judge([route()], { payload: Buffer.from([0x22, 0xff, 0x22]) })).toMatchObject({
      reason: "payload-not-json",
    });
    expect(judge([route()], { payload: Buffer.alloc(257) })).toMatchObject({ reason: "payload-oversized" });
    expect(judge([route({ format: "raw" })], { payload: Buffer.alloc(0) })).toMatchObject({ kind: "route" });
  });

  test("of Avro must be framed, and of the route's schema if there is one", () => {
    const record = EdgeMetrics.encode({
      deviceId: "d",
      bootId: 1n,
      seq: 1n,
      windowMs: 1,
      ageMs: 0,
      clockState: "UNKNOWN",
      device: {},
      models: [],
    });
    const single = frameSingleObject(EdgeMetrics.current.fingerprint, record);
    const [framed, checked] = [route({ format: "avro" }), route({ format: "avro", schema: "metrics.avsc" })];
    for (const payload of [single, frameConfluent(7, record)]) {
      for (const one of [framed, checked]) expect(judge([one], { payload })).toMatchObject({ kind: "route" });
    }
    const wrong: [Buffer, string][] = [
      [record, "neither single-object encoding"],
      [single.subarray(0, 9), "not Avro single-object encoding"],
      [frameSingleObject("0123456789abcdef", record), "fingerprint 0123456789abcdef; the schema has"],
      [single.subarray(0, -1), ""],
      [Buffer.concat([single, record]), "bytes follow the record"],
    ];
    for (const [payload, message] of wrong) {
      expect(judge([checked], { payload })).toMatchObject({
        reason: "payload-not-avro",
        message: expect.stringContaining(message),
      });
    }
    expect(() => openRoute(checked, () => "{")).toThrow(/JSON/);
  });
});
