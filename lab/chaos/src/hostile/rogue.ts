/** The process of `chaos hostile`'s rogue device: connects, reports that, and attacks until it is killed. */
import { constants, setPriority } from "node:os";
import { someJpeg } from "@tributary/testing";
import { type Credentials, Talker } from "./device.ts";
import { ways } from "./ways.ts";

export type RogueOrder = { readonly way: string; readonly url: string; readonly credentials: Credentials };

setPriority(constants.priority.PRIORITY_LOW);
process.once("disconnect", () => process.exit(0));
process.once("message", (order: RogueOrder) => {
  start(order).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});

async function start({ way, url, credentials }: RogueOrder): Promise<void> {
  const found = ways.find(({ name }) => name === way);
  if (found === undefined) throw new Error(`there is no attack ${way}`);
  const rogue = await Talker.connect(url, credentials, await someJpeg());
  process.send?.("started");
  await found.run(rogue);
}
