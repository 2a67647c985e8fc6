import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { afterAll, expect, test } from "@jest/globals";
import { tempDir } from "@tributary/testing";
import { removeEnvironment, writeEnvironment } from "./environment.ts";

const dir = tempDir("environment");
afterAll(() => dir.remove());

test("a shell that reads the file knows where gateway, registry and Kafka are; it is removed with the stack", () => {
  const addresses = { gatewayUrl: "http://127.0.0.1:8080", registryUrl: "http://127.0.0.1:9", prefix: "t." };
  const file = writeEnvironment(dir.path, { ...addresses, brokers: ["127.0.0.1:1", "127.0.0.1:2"] });
  const script = '. "$0"; env | grep ^TRIBUTARY_ | sort';
  expect(
    execFileSync("bash", ["-c", script, file], { encoding: "utf8", env: { PATH: process.env.PATH } })
      .trim()
      .split("\n"),
  ).toEqual([
    "TRIBUTARY_BROKERS=127.0.0.1:1,127.0.0.1:2",
    "TRIBUTARY_GATEWAY=http://127.0.0.1:8080",
    "TRIBUTARY_MODEL_REGISTRY=http://127.0.0.1:9",
    "TRIBUTARY_PREFIX=t.",
  ]);
  removeEnvironment(dir.path);
  expect(existsSync(file)).toBe(false);
});
