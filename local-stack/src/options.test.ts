import { describe, expect, test } from "@jest/globals";
import { parseOptions } from "./options.ts";

describe("the options of npm start", () => {
  test("have defaults", () => {
    expect(parseOptions([])).toMatchObject({ kind: "run", options: { devices: 4, frames: undefined, exit: false } });
  });

  test("are taken with and without an equals sign", () => {
    expect(parseOptions(["--frames=2000", "--exit", "--devices", "3", "--kafka", "a:1,b:2"])).toMatchObject({
      kind: "run",
      options: { frames: 2000, exit: true, devices: 3, kafka: ["a:1", "b:2"] },
    });
  });

  test("name a broker that is there, and who uses it", () => {
    expect(parseOptions(["--mqtt", "mqtt://a:1883", "--bridges", "2", "--mqtt-passwords", "/p"])).toMatchObject({
      kind: "run",
      options: { mqtt: { url: "mqtt://a:1883", bridges: 2, passwordsFile: "/p" } },
    });
  });

  test.each([
    ["--mqtt", "a:1883"],
    ["--mqtt", "mqtt://u:p@a:1883"],
    ["--bridges", "2"],
    ["--mqtt-passwords", "/p"],
    ["--frames", "-1"],
    ["--frames", "2e3"],
    ["--frames"],
    ["--devices", "65"],
    ["--kafka", "http://a:1"],
    ["--fresh=yes"],
    ["--verbose"],
    ["start"],
    ["--exit"],
  ])("refuse %s %s", (...argv: string[]) => {
    expect(parseOptions(argv.filter((arg) => arg !== undefined)).kind).toBe("wrong");
  });
});
