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
    for (const wrong of ["0", "one", "", "1e3", "-2"]) {
      expect(refused(() => registry.subjectVersion(subject, wrong))).toEqual([422, 42202]);
    }
  });
});
