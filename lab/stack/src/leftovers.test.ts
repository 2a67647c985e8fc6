import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { forget, putAside } from "./leftovers.ts";

test("a run of other classes starts afresh, and loses nothing of the one before", () => {
  const dir = tempDir("leftovers");
  const at = (name: string) => join(dir.path, name);
  const leave = (what: string) => {
    mkdirSync(at("kafka"), { recursive: true });
    writeFileSync(at("kafka/log"), what);
  };
  try {
    leave("of a version that wrote down no classes");
    expect(putAside(dir.path, ["cat", "dog"])).toBe(false);
    leave("cats");
    expect(putAside(dir.path, ["cat", "dog"])).toBe(false);
    expect(putAside(dir.path, ["odd", "even"])).toBe(true);
    expect(existsSync(at("kafka"))).toBe(false);
    expect(readFileSync(at("earlier/kafka/log"), "utf8")).toBe("cats");
    leave("digits");
    forget(dir.path);
    expect(putAside(dir.path, ["cat", "dog"])).toBe(false);
  } finally {
    dir.remove();
  }
});
