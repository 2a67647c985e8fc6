import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "@jest/globals";
import { openModelRegistry } from "./open.ts";

test("a registry that wants a token names the setting, for a body and for an answer to HEAD; other refusals stay", async () => {
  const server = createServer(({ url }, response) => {
    const status = url === "/validation/none" ? 404 : 401;
    response.writeHead(status, { "www-authenticate": "Bearer", "content-type": "application/problem+json" });
    response.end(JSON.stringify({ code: status === 404 ? "validation-unknown" : "token-missing", detail: "No." }));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { validation, blobs } = openModelRegistry({ url, timeoutMs: 10_000 });
  const forbidden = {
    code: "model-registry-forbidden",
    advice: "retry",
    message: expect.stringContaining("modelRegistry.token"),
  };
  await expect(validation.describe({ model: "edge" })).rejects.toMatchObject(forbidden);
  await expect(blobs.has({ digest: "d" })).rejects.toMatchObject(forbidden);
  await expect(validation.describe({ model: "none" })).rejects.toMatchObject({
    code: "validation-unknown",
    status: 404,
  });
  server.close().closeAllConnections();
});
