import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "@jest/globals";
import { GatewayClient } from "./gateway-client.ts";

test("all pages are read, each asked for by the one before; an earlier gateway has one", async () => {
  const pages: Record<string, object> = {
    "/v?site=x": { items: [1, 2], next: "b c" },
    "/v?site=x&after=b+c": { items: [3], next: null },
    "/old": { items: [4] },
  };
  const server = createServer(({ url = "" }, response) => response.end(JSON.stringify(pages[url])));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const gateway = new GatewayClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    expect(await gateway.all("v", { site: "x" })).toEqual([1, 2, 3]);
    expect(await gateway.all("old")).toEqual([4]);
  } finally {
    server.close();
  }
});
