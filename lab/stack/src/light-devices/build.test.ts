import { expect, test } from "@jest/globals";
import { DeviceReported, mqttTopics } from "@tributary/contracts";
import { someReported } from "@tributary/testing";
import { type Build, sentBy } from "./build.ts";

test("another build reports its own version, and changes no other message", () => {
  const build: Build = { agentVersion: "0.2.0", fault: "channels-swapped" };
  const device = { deviceId: "light-1", mqttPrefix: "plant/tributary" };
  const { up } = mqttTopics(device.mqttPrefix);
  const reported = DeviceReported.encodeSingleObject(someReported({ agentVersion: "0.1.0" }));
  const sent = DeviceReported.decodeSingleObject(sentBy(build, device, up("light-1", "reported"), reported));
  expect(sent).toEqual({ ...DeviceReported.decodeSingleObject(reported), agentVersion: "0.2.0" });
  expect(sentBy(build, device, up("light-1", "metrics"), reported)).toBe(reported);
});
