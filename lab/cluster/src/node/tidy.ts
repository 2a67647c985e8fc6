/** What a node cannot take with it when it ends. */
import { type Layout, type Link } from "../settings.ts";
import { removeGroups } from "./cgroups.ts";
import { succeeds } from "./commands.ts";
import { forgetState } from "./state.ts";

/** Whatever of a node that has ended is still there. */
export async function tidy(layout: Layout, group: string, { device }: Link): Promise<void> {
  succeeds("ip", ["link", "delete", device]);
  const left = await removeGroups(group);
  if (left.length > 0) process.stdout.write(`control groups in use: ${left.join(" ")}\n`);
  forgetState(layout);
}
