/** Another build of the agent, in which something went wrong: it reports a version of its own, and really preprocesses otherwise than
 * its package specifies, camera frames and golden frames alike. */
import { DeviceReported, mqttTopics } from "@tributary/contracts";
import type { ModelHost, Preprocessing } from "@tributary/inference";
import { loadPackage } from "@tributary/model-store";
import { OnnxModelHost } from "@tributary/onnx";
import { z } from "zod";

export const buildSchema = z.strictObject({
  agentVersion: z.string().min(1),
  /** What its preprocessing does wrong, by the name of the fault in a package's golden/faults.json. */
  fault: z.enum(["channels-swapped", "mean-not-subtracted"]),
});
export type Build = z.output<typeof buildSchema>;

/** Loads models as this build prepares their pictures. */
export const hostOf = (build: Build, digest: string): ModelHost => ({
  load: async (dir, options) => {
    const pkg = await loadPackage(dir, { digest });
    const model = await new OnnxModelHost(async () => pkg).load(dir, options);
    await model.prepareBy(faulty(pkg.preprocessing, build.fault));
    return model;
  },
});

function faulty(preprocessing: Preprocessing, fault: Build["fault"]): Preprocessing {
  switch (fault) {
    case "channels-swapped":
      return { ...preprocessing, channelOrder: preprocessing.channelOrder === "RGB" ? "BGR" : "RGB" };
    case "mean-not-subtracted":
      return { ...preprocessing, offset: preprocessing.offset.map(() => 0) };
    default:
      return fault satisfies never;
  }
}

/** A message of the device as this build sends it. */
export function sentBy(
  { agentVersion }: Build,
  device: { readonly deviceId: string; readonly mqttPrefix: string },
  topic: string,
  payload: Uint8Array,
): Uint8Array {
  if (topic !== mqttTopics(device.mqttPrefix).up(device.deviceId, "reported")) return payload;
  return DeviceReported.encodeSingleObject({ ...DeviceReported.decodeSingleObject(payload), agentVersion });
}
