/** The process of one hostile device of `chaos hostile`: connects, reports that, and attacks until it is killed. */
import { someJpeg } from "@tributary/testing";
import { type Credentials, Talker } from "../talker.ts";
import { lowestPriority } from "./lowest-priority.ts";
import { ways } from "./ways.ts";

export type RogueOrder = { readonly way: string; readonly url: string; readonly credentials: Credentials };
/** What it did so far, by name; `acknowledged`: messages, and filters of subscriptions. */
export type RogueFigures = { readonly [name: string]: number };

const REPORT_MS = 250;

await lowestPriority(process.pid);
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
  process.send?.({});
  let figures: RogueFigures = {};
  let acknowledged = 0;
  rogue.client.on("packetreceive", (packet) => {
    if (packet.cmd === "puback") acknowledged += 1;
    if (packet.cmd === "suback") acknowledged += packet.granted.length;
  });
  setInterval(() => process.send?.({ ...figures, acknowledged }), REPORT_MS).unref();
  await found.run(rogue, (so) => {
    figures = so;
  });
}
