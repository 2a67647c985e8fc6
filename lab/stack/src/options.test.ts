import { resolve } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { parseOptions } from "./options.ts";

describe("the options of npm start", () => {
  test("have defaults", () => {
    expect(parseOptions([])).toMatchObject({
      kind: "run",
      options: { packages: undefined, camera: undefined, frames: undefined, exit: false, lightDevices: 0 },
    });
  });

  test("name models and a camera, files beside the person", () => {
    const argv = ["--edge-package", "e", "--cloud-package", "/c", "--camera", "cat a.jpg", "--labels", "l.json"];
    expect(parseOptions(argv)).toMatchObject({
      kind: "run",
      options: {
        packages: { edge: resolve(process.env.INIT_CWD ?? ".", "e"), cloud: "/c" },
        camera: "cat a.jpg",
        labels: resolve(process.env.INIT_CWD ?? ".", "l.json"),
      },
    });
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
    ["--edge-package", "e"],
    ["--cloud-package", "c"],
    ["--labels", "l.json"],
    ["--light-devices", "513"],
    ["--fps", "0"],
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
