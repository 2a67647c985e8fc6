import { describe, expect, test } from "@jest/globals";
import { topics } from "@tributary/contracts";
import { RegistryError, registryOf } from "./registry.ts";

const registry = registryOf("tributary.");

describe("registry", () => {
  test("has a subject for every topic, and a consumer finds the writer's schema by the id in a record", () => {
    expect(registry.subjects()).toHaveLength(Object.keys(topics).length);
    for (const topic of Object.values(topics)) {
      const subject = `tributary.${topic.name}-value`;
      const latest = registry.subjectVersion(subject, "latest");
      expect(latest).toEqual(registry.subjectVersion(subject, "-1"));
      expect(latest).toEqual(registry.subjectVersion(subject, latest.version));
      expect(latest.id).toBe(topic.codec.current.id);
      expect(JSON.parse(registry.schemaById(latest.id).schema)).toEqual(topic.codec.current.schema);
      expect(registry.subjectVersions(subject)).toEqual(topic.codec.versions.map(({ version }) => version));
      expect(registry.versionsOfSchema(latest.id)).toContainEqual({ subject, version: latest.version });
    }
  });

  test("refuses with Confluent's error codes", () => {
    const subject = registry.subjects()[0] as string;
    const refused = (ask: () => unknown) => {
      try {
        ask();
      } catch (error) {
        if (error instanceof RegistryError) return [error.status, error.errorCode];
      }
      return undefined;
    };
    expect(refused(() => registry.subjectVersions("nothing-value"))).toEqual([404, 40401]);
    expect(refused(() => registry.subjectVersion(subject, 9_999))).toEqual([404, 40402]);
    expect(refused(() => registry.schemaById(9_999))).toEqual([404, 40403]);
    expect(refused(() => registry.config("nothing-value", false))).toEqual([404, 40408]);
    expect(refused(() => registry.mode("nothing-value", false))).toEqual([404, 40409]);
    expect(refused(() => registry.refuseChange())).toEqual([422, 42205]);
    for (const wrong of ["0", "one", "", "1e3", "-2"]) {
      expect(refused(() => registry.subjectVersion(subject, wrong))).toEqual([422, 42202]);
    }
  });

  describe("of a schema that somebody has", () => {
    const subject = "tributary.edge.frames.v1-value";
    const { versions, current } = topics.frames.codec;
    const bodyOf = (schema: unknown) => ({ schema: JSON.stringify(schema) });
    const codeOf = (ask: () => unknown) => {
      try {
        return ask();
      } catch (error) {
        if (error instanceof RegistryError) return error.errorCode;
        throw error;
      }
    };

    test("finds the version of its text, else the first of its form, by look-up and by registration", () => {
      const [first] = versions;
      for (const version of versions) {
        const found = registry.subjectVersion(subject, version.version);
        expect(registry.lookUp(subject, bodyOf(version.schema))).toEqual(found);
        expect(registry.register(subject, bodyOf(version.schema))).toEqual({ id: version.id });
      }
      // As generated code has it.
      const { doc: _, ...undocumented } = current.schema;
      expect(registry.lookUp(subject, bodyOf(undocumented))).toMatchObject({ version: first?.version, id: first?.id });
    });

    test("reports what is wrong with it", () => {
      const other = bodyOf({ type: "record", name: "EdgeFrame", fields: [] });
      expect(codeOf(() => registry.lookUp(subject, other))).toBe(40403);
      expect(codeOf(() => registry.lookUp("nothing-value", other))).toBe(40401);
      expect(codeOf(() => registry.register(subject, other))).toBe(42205);
      expect(codeOf(() => registry.register("nothing-value", bodyOf("string")))).toBe(42205);
      const deep = { schema: `${'{"type":"array","items":'.repeat(20_000)}"int"${"}".repeat(20_000)}` };
      for (const wrong of [undefined, {}, { schema: 7 }, { schema: "{" }, { schema: "{}" }, { schema: "null" }, deep]) {
        expect(codeOf(() => registry.lookUp(subject, wrong))).toBe(42201);
        expect(codeOf(() => registry.register(subject, wrong))).toBe(42201);
      }
      expect(codeOf(() => registry.lookUp(subject, { ...bodyOf("string"), schemaType: "PROTOBUF" }))).toBe(42201);
    });
  });

  test("lists subjects and schemas, by prefix and the latest of each", () => {
    expect(registry.subjects("tributary.edge.frames")).toEqual(["tributary.edge.frames.v1-value"]);
    expect(registry.subjects(":*:")).toEqual(registry.subjects());
    const { codec } = topics.frames;
    const all = registry.schemas("tributary.edge.frames");
    expect(all.map(({ id }) => id)).toEqual(codec.versions.map(({ id }) => id));
    expect(registry.schemas("tributary.edge.frames", true)).toEqual(all.slice(-1));
    const shared = registry.subjectsOfSchema(topics.requestsHigh.codec.current.id);
    expect(shared).toEqual(["tributary.cloud.requests.high.v1-value", "tributary.cloud.requests.normal.v1-value"]);
  });
});
