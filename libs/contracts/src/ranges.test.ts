/** Every range of every record that devices send, in every version that landed. */
import { expect, test } from "@jest/globals";
import type { AvroSchema } from "./bounded.ts";
import { Codec } from "./codec.ts";
import { ContractError } from "./errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { type FieldRange, rangesOf, rangeText } from "./ranges.ts";
import { uplinkStreams } from "./topics.ts";

type Place = { readonly path: string; readonly range: FieldRange; readonly set: (value: unknown) => unknown };

/** A record with one item in every array and map and every number in its range, and where its numbers are. */
function sampleOf(schema: AvroSchema): { readonly record: object; readonly places: readonly Place[] } {
  const ranges = rangesOf(schema);
  const named = new Map<string, AvroSchema>();
  const places: Place[] = [];
  const one = (type: AvroSchema, path: string, range: FieldRange, set: (value: unknown) => unknown): unknown => {
    if (Array.isArray(type)) return one(type[0], path, range, set);
    switch (typeof type === "string" ? type : type.type) {
      case "record": {
        named.set(type.name, type);
        const record: Record<string, unknown> = {};
        for (const field of type.fields) {
          const { name } = field;
          const inner = ranges.get(`${type.name}.${name}`) ?? {};
          one(field.type, `${path}.${name}`, inner, (value) => {
            record[name] = value;
          });
        }
        return set(record);
      }
      case "array": {
        const items: unknown[] = [];
        set(items);
        return one(type.items, `${path}[0]`, range, (value) => {
          items[0] = value;
        });
      }
      case "map": {
        const entries: Record<string, unknown> = {};
        set(entries);
        return one(type.values, `${path}.key`, range, (value) => {
          entries.key = value;
        });
      }
      case "int":
      case "double":
      case "long": {
        const isLong = type === "long";
        const put = (value: unknown) => set(isLong ? BigInt(value as number) : value);
        places.push({ path, range, set: put });
        return put(range.maximum ?? range.minimum ?? 1);
      }
      case "enum":
        return set(type.symbols[0]);
      case "string":
        return set("text");
      case "bytes":
        return set(Buffer.from("bytes"));
      case "boolean":
        return set(true);
      case "null":
        return set(null);
      default:
        return one(named.get(type), path, range, set);
    }
  };
  let record: object | undefined;
  one(schema, "", {}, (value) => {
    record = value as object;
  });
  return { record: record as object, places: places.map((place) => ({ ...place, path: place.path.slice(1) })) };
}

const faultOf = (work: () => void): [code: string, message: string] | undefined => {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof ContractError) return [error.code, error.message];
    throw error;
  }
};

const streams = Object.entries(uplinkStreams) as unknown as [string, { readonly codec: Codec<unknown> }][];

test.each(streams)("%s: a value out of its field's range is refused, by name, in every version", (_, { codec }) => {
  const { record, places } = sampleOf(codec.current.schema);
  const ranged = places.filter(({ range: { minimum, maximum } }) => minimum !== undefined || maximum !== undefined);
  expect(ranged.length).toBeGreaterThan(0);
  for (const version of codec.versions) {
    const check = () => faultOf(() => codec.check(codec.encode(record, version), version));
    expect(check()).toBeUndefined();
    const known = new Set(sampleOf(version.schema).places.map(({ path }) => path));
    for (const { path, range, set } of ranged.filter(({ path }) => known.has(path))) {
      const bounds = [
        { bound: range.minimum, step: -1 },
        { bound: range.maximum, step: 1 },
      ];
      for (const { bound, step } of bounds) {
        if (bound === undefined) continue;
        set(bound + step);
        expect(check()).toEqual(["value-out-of-range", `${path}: ${bound + step} is not ${rangeText(range)}`]);
        codec.decode(codec.encode(record, version), version); // codec.ts C5
        set(bound);
        expect(check()).toBeUndefined();
      }
    }
  }
});

const field = (type: AvroSchema, range: FieldRange = {}) => {
  const schema = { type: "record", name: "R", fields: [{ name: "f", type, ...range }] };
  const codec = new Codec<{ f: unknown }>("R", [{ version: 1, id: 1, fingerprint: fingerprintOf(schema), schema }]);
  return (f: unknown) => faultOf(() => codec.check(codec.encode({ f })));
};

test("a double is finite, with a range or without", () => {
  for (const range of [{}, { minimum: 0 }]) {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(field("double", range)(value)).toEqual(["value-out-of-range", `f: ${value} is not a finite number`]);
    }
  }
  expect(field("double")(-0)).toBeUndefined();
  expect(field("double", { minimum: 0 })(-0)).toBeUndefined();
  expect(field("double", { maximum: 1 })(1 + Number.EPSILON)).toEqual([
    "value-out-of-range",
    "f: 1.0000000000000002 is not at most 1",
  ]);
});

test("integers of all 64 bits are compared, optional ones too", () => {
  const check = field(["null", "long"], { minimum: -1, maximum: 2 ** 40 });
  for (const value of [null, -1n, 2n ** 40n]) expect(check(value)).toBeUndefined();
  for (const value of [-2n, 2n ** 40n + 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    expect(check(value)?.[0]).toBe("value-out-of-range");
  }
});

test("arrays and maps have as many items as their field allows", () => {
  const check = field({ type: "array", items: "string" }, { maxItems: 2 });
  expect(check(["a", "b"])).toBeUndefined();
  expect(check(["a", "b", "c"])).toEqual(["record-block-count", "f: it announces 3 array items; at most 2 fit"]);
  const map = field({ type: "map", values: "long" }, { maxItems: 1, minimum: 0 });
  expect(map({ a: 1n })).toBeUndefined();
  expect(map({ a: -1n })).toEqual(["value-out-of-range", "f.a: -1 is not at least 0"]);
  expect(map({ a: 1n, b: 1n })?.[0]).toBe("record-block-count");
  expect(map({ [`\n${"é".repeat(90)}`]: -1n })?.[1]).toMatch(/^f\.[ -~]{40}: -1 is not/);
});
