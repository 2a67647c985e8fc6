import { expect, test } from "@jest/globals";
import { bridgeConfigSchema } from "../config.ts";
import { externalSettings } from "./settings.ts";

const kafka = { brokers: ["127.0.0.1:9092"] };
const problems = (mqtt: object): string[] =>
  bridgeConfigSchema.safeParse({ kafka, mqtt }).error?.issues.map(({ path }) => path.join(".")) ?? [];
const probe = { username: "probe", password: "secret" };

test("the embedded broker stays the default, and takes no key of the other mode", () => {
  expect(problems({})).toEqual([]);
  expect(problems({ port: 1, url: "mqtt://a:1", receiveMaximum: 4 })).toEqual(["mqtt.url", "mqtt.receiveMaximum"]);
});

test("every key that the external mode lacks is named at once", () => {
  expect(problems({ mode: "external" })).toEqual(["mqtt.url", "mqtt.clientId"]);
  expect(problems({ mode: "external", url: "mqtt://broker:1883" })).toEqual(["mqtt.clientId", "mqtt.probe"]);
  expect(problems({ mode: "external", url: "mqtt://localhost:1883", username: "bridge-1" })).toEqual([]);
  expect(problems({ mode: "external", url: "mqtts://broker:8883", clientId: "b", probe })).toEqual([]);
  for (const url of ["http://broker", "mqtt://user:secret@broker:1883", "mqtt://broker:99999", "mqtt://["]) {
    expect([url, problems({ mode: "external", url, clientId: "b", probe })]).toEqual([url, ["mqtt.url"]]);
  }
});

test("bridges with one probe share one name, which is not to be guessed", () => {
  const settings = (mqtt: object) =>
    externalSettings(bridgeConfigSchema.parse({ kafka, mqtt: { mode: "external", url: "mqtt://a:1", ...mqtt } }).mqtt);
  const [one, two] = ["bridge-1", "bridge-2"].map((username) => settings({ username, probe }));
  expect([one?.clientId, two?.clientId]).toEqual(["bridge-1", "bridge-2"]);
  expect(one?.shareName).toBe(two?.shareName);
  expect(one?.shareName).not.toContain("secret");
  expect(settings({ clientId: "b", probe: { ...probe, password: "x" } }).shareName).not.toBe(one?.shareName);
  expect(settings({ clientId: "b", probe, shareName: "mine" }).shareName).toBe("mine");
});
