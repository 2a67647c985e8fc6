import { expect, test } from "@jest/globals";
import { sourceOf } from "./source.ts";

test("an IPv6 host is one source, whichever address of its network it uses", () => {
  for (const [address, source] of [
    ["192.0.2.7", "192.0.2.7"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"],
    ["2001:db8:1:2:bbbb:cccc:dddd:eeee", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    [undefined, "unknown"],
  ] as const) {
    expect([address, sourceOf(address)]).toEqual([address, source]);
  }
});
