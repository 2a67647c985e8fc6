import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { SchemaRegistryError, schemaRegistryOf } from "./schema-registry.ts";

const schemaRegistry = schemaRegistryOf("tributary.");

describe("the schema registry", () => {
  test("has a subject for every topic, and a consumer finds the writer's schema by the id in a record", () => {
    expect(schemaRegistry.subjects()).toHaveLength(Object.keys(topics).length);
    for (const topic of Object.values(topics)) {
      const subject = `tributary.${topic.name}-value`;
      const latest = schemaRegistry.subjectVersion(subject, "latest");
      expect(latest).toEqual(schemaRegistry.subjectVersion(subject, "-1"));
      expect(latest).toEqual(schemaRegistry.subjectVersion(subject, latest.version));
      expect(latest.id).toBe(topic.codec.current.id);
      expect(JSON.parse(schemaRegistry.schemaById(latest.id).schema)).toEqual(topic.codec.current.schema);
      expect(schemaRegistry.subjectVersions(subject)).toEqual(topic.codec.versions.map(({ version }) => version));
      expect(schemaRegistry.versionsOfSchema(latest.id)).toContainEqual({ subject, version: latest.version });
    }
  });

  test("refuses with Confluent's error codes", () => {
    const subject = schemaRegistry.subjects()[0] as string;
    const refused = (ask: () => unknown) => {
      try {
        ask();
      } catch (error) {
        if (error instanceof SchemaRegistryError) return [error.status, error.errorCode];
      }
      return undefined;
    };
    expect(refused(() => schemaRegistry.subjectVersions("nothing-value"))).toEqual([404, 40401]);
    expect(refused(() => schemaRegistry.subjectVersion(subject, 9_999))).toEqual([404, 40402]);
    expect(refused(() => schemaRegistry.schemaById(9_999))).toEqual([404, 40403]);
    expect(refused(() => schemaRegistry.config("nothing-value", false))).toEqual([404, 40408]);
    expect(refused(() => schemaRegistry.mode("nothing-value", false))).toEqual([404, 40409]);
    expect(refused(() => schemaRegistry.refuseChange())).toEqual([422, 42205]);
    for (const wrong of ["0", "one", "", "1e3", "-2"]) {
      expect(refused(() => schemaRegistry.subjectVersion(subject, wrong))).toEqual([422, 42202]);
    }
  });

  describe("of an existing schema", () => {
    // Two versions of metrics differ in documentation alone.
    const subject = "tributary.edge.metrics.v1-value";
    const { versions, current } = topics.metrics.codec;
    const bodyOf = (schema: unknown) => ({ schema: JSON.stringify(schema) });
    const codeOf = (ask: () => unknown) => {
      try {
        return ask();
      } catch (error) {
        if (error instanceof SchemaRegistryError) return error.errorCode;
        throw error;
      }
    };

    test("finds the version of its text, else the first of its form, by look-up and by registration", () => {
      const [first] = versions;
      for (const version of versions) {
        const found = schemaRegistry.subjectVersion(subject, version.version);
        expect(schemaRegistry.lookUp(subject, bodyOf(version.schema))).toEqual(found);
        expect(schemaRegistry.register(subject, bodyOf(version.schema))).toEqual({ id: version.id });
      }
      // As generated code has it.
      const { doc: _, ...undocumented } = current.schema;
      expect(schemaRegistry.lookUp(subject, bodyOf(undocumented))).toMatchObject({
        version: first?.version,
        id: first?.id,
      });
    });

    test("reports its fault", () => {
      const other = bodyOf({ type: "record", name: "EdgeMetrics", fields: [] });
      expect(codeOf(() => schemaRegistry.lookUp(subject, other))).toBe(40403);
      expect(codeOf(() => schemaRegistry.lookUp("nothing-value", other))).toBe(40401);
      expect(codeOf(() => schemaRegistry.register(subject, other))).toBe(42205);
      expect(codeOf(() => schemaRegistry.register("nothing-value", bodyOf("string")))).toBe(42205);
      const deep = { schema: `${'{"type":"array","items":'.repeat(20_000)}"int"${"}".repeat(20_000)}` };
      for (const wrong of [undefined, {}, { schema: 7 }, { schema: "{" }, { schema: "{}" }, { schema: "null" }, deep]) {
        expect(codeOf(() => schemaRegistry.lookUp(subject, wrong))).toBe(42201);
        expect(codeOf(() => schemaRegistry.register(subject, wrong))).toBe(42201);
      }
      expect(codeOf(() => schemaRegistry.lookUp(subject, { ...bodyOf("string"), schemaType: "PROTOBUF" }))).toBe(42201);
    });
  });

  test("lists subjects and schemas, by prefix and the latest of each", () => {
    expect(schemaRegistry.subjects("tributary.edge.frames")).toEqual(["tributary.edge.frames.v1-value"]);
    expect(schemaRegistry.subjects(":*:")).toEqual(schemaRegistry.subjects());
    const { codec } = topics.frames;
    const all = schemaRegistry.schemas("tributary.edge.frames");
    expect(all.map(({ id }) => id)).toEqual(codec.versions.map(({ id }) => id));
    expect(schemaRegistry.schemas("tributary.edge.frames", true)).toEqual(all.slice(-1));
    const shared = schemaRegistry.subjectsOfSchema(topics.requestsHigh.codec.current.id);
    expect(shared).toEqual(["tributary.cloud.requests.high.v1-value", "tributary.cloud.requests.normal.v1-value"]);
  });
});
