/** Expected values are other implementations': the specification's, Java's SchemaNormalization, Python's fastavro. */
import { expect, test } from "@jest/globals";
import { canonicalForm, fingerprintOf } from "./fingerprint.ts";

test.each([
  ["int", "7275d51a3f395c8f"],
  ["float", "4d7c02cb3ea8d790"],
  ["long", "d054e14493f41db7"],
  ["double", "8e7535c032ab957e"],
  ["bytes", "4fc016dac3201965"],
  ["string", "8f014872634503c7"],
  ["boolean", "9f42fc78a4d4f764"],
  ["null", "63dd24e7cc258f8a"],
])("CRC-64-AVRO of %s", (schema, fingerprint) => {
  expect(fingerprintOf(schema)).toBe(fingerprint);
});

const documented = {
  type: "record",
  name: "Frame",
  namespace: "tributary.v1",
  doc: "docs, defaults and logical types do not count",
  fields: [
    { name: "id", type: "string", doc: "d", default: "" },
    { name: "at", type: ["null", { type: "long", logicalType: "timestamp-millis" }], default: null },
    { name: "kind", type: { type: "enum", name: "Kind", symbols: ["UNKNOWN", "A"], default: "UNKNOWN" } },
    { name: "again", type: { type: "array", items: "Kind" } },
    { name: "digest", type: { type: "fixed", name: "other.Digest", size: 32 } },
    { name: "counts", type: { type: "map", values: "long" } },
  ],
};

test("the canonical form and fingerprint of a record are fastavro's", () => {
  expect(canonicalForm(documented)).toBe(
    '{"name":"tributary.v1.Frame","type":"record","fields":[{"name":"id","type":"string"},{"name":"at","type":["null","long"]},{"name":"kind","type":{"name":"tributary.v1.Kind","type":"enum","symbols":["UNKNOWN","A"]}},{"name":"again","type":{"type":"array","items":"tributary.v1.Kind"}},{"name":"digest","type":{"name":"other.Digest","type":"fixed","size":32}},{"name":"counts","type":{"type":"map","values":"long"}}]}',
  );
  expect(fingerprintOf(documented)).toBe("3aa531dabc90a284");
});
