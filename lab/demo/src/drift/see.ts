/** Changes what the cameras of light devices see. */
import { Failure } from "@tributary/kernel";
import type { Stack } from "@tributary/stack";

export async function see(stack: Stack, deviceIds: readonly string[], scene: object): Promise<void> {
  for (const { part, deviceIds: own, url } of stack.light) {
    const devices = deviceIds.filter((deviceId) => own.includes(deviceId));
    if (devices.length === 0) continue;
    const response = await fetch(`${url}/v1/scene`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ devices, ...scene }),
    });
    if (!response.ok) throw new Failure("scene-refused", "give-up", `${part.name}: ${await response.text()}`);
  }
}
