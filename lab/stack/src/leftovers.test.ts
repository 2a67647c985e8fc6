import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { forget, putAside } from "./leftovers.ts";

test.each(["kafka", "registry", "frame-archive", "trainer", "devices"])(
  "a run of other classes starts afresh in %s, and loses nothing of the one before",
  (name) => {
    const dir = tempDir("leftovers");
    const at = (file: string) => join(dir.path, file);
    const leave = (what: string) => {
      mkdirSync(at(name), { recursive: true });
      writeFileSync(at(`${name}/file`), what);
    };
    try {
      leave("of a version that wrote down no classes");
      expect(putAside(dir.path, ["cat", "dog"])).toBe(false);
      leave("cats");
      expect(putAside(dir.path, ["cat", "dog"])).toBe(false);
      expect(putAside(dir.path, ["odd", "even"])).toBe(true);
      expect(existsSync(at(name))).toBe(false);
      expect(readFileSync(at(`earlier/${name}/file`), "utf8")).toBe("cats");
      leave("digits");
      forget(dir.path);
      expect(existsSync(at(name))).toBe(false);
      expect(putAside(dir.path, ["cat", "dog"])).toBe(false);
    } finally {
      dir.remove();
    }
  },
);
