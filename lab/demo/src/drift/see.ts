/** Changes what the cameras of light devices see. */
import { askLight, type Stack } from "@tributary/stack";

export const see = (stack: Stack, deviceIds: readonly string[], scene: object): Promise<void> =>
  askLight(stack.light, "/v1/scene", deviceIds, scene);
