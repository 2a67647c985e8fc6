/** A port with the door in front, asked by browsers, strangers and programs; each refusal beside what is let in. */
import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createTelemetry } from "../telemetry.ts";
import { changesSomething, Door, type DoorOptions } from "./door.ts";
import { Guesses, prefixOf } from "./guesses.ts";
import { Tokens } from "./tokens.ts";

const TOKEN = "a-token-of-sixteen-characters";
const JSON_BODY = { "content-type": "application/json" };
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

type Options = Partial<Omit<DoorOptions, "telemetry">>;

async function port(options: Options = {}) {
  const lines: Record<string, unknown>[] = [];
  const telemetry = createTelemetry({
    service: "door-test",
    defaultMetrics: false,
    write: (line) => lines.push(JSON.parse(line)),
  });
  const bodies: string[] = [];
  const door = new Door({
    address: { host: "127.0.0.1", hosts: [], origins: [] },
    clock: { monotonicMs: () => performance.now() },
    bodyBytesMax: 100,
    ...options,
    telemetry,
  });
  const server = createServer((request, response) => {
    if (!door.admits(request, response)) return;
    let text = "";
    request.on("data", (chunk) => {
      text += chunk;
    });
    request.on("error", () => {});
    request.on("end", () => {
      bodies.push(text);
      response.end("in");
    });
  });
  door.guard(server);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: number } = server.address() as AddressInfo;
  type Asked = { method?: string; path?: string; headers?: Record<string, string>; body?: string };
  const ask = ({ method = "POST", path = "/", headers = {}, body }: Asked = {}) =>
    new Promise<{ status: number; code: string; headers: IncomingMessage["headers"] }>((resolve, reject) => {
      const request = httpRequest({ host: "127.0.0.1", port: number, method, path, headers, agent: false });
      request.on("error", reject);
      request.on("response", async (response) => {
        let text = "";
        for await (const chunk of response) text += chunk;
        const code = text.startsWith("{") ? JSON.parse(text).code : text;
        resolve({ status: response.statusCode ?? 0, code, headers: response.headers });
      });
      request.end(body);
    });
  const codes = async (asked: Asked) => (await ask(asked)).code;
  return { ask, codes, number, lines, bodies, telemetry };
}

describe("the door", () => {
  test("takes JSON and nothing that a form can send (door.ts D3)", async () => {
    const { codes, ask, bodies } = await port();
    for (const type of [
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=x",
      "text/plain",
      "text/plain; a=application/json",
      "application/octet-stream",
    ]) {
      expect(await ask({ headers: { "content-type": type }, body: '{"a":1}' })).toMatchObject({
        status: 415,
        code: "media-type",
        headers: { "content-type": "application/problem+json" },
      });
    }
    expect(await codes({ body: '{"a":1}' })).toBe("media-type");
    expect(await codes({ headers: { "content-type": "text/plain" } })).toBe("media-type");
    expect(await codes({ method: "GET", headers: { ...JSON_BODY, "content-length": "2" }, body: "{}" })).toBe(
      "body-unexpected",
    );
    expect(bodies).toEqual([]);
    expect(await codes({ headers: JSON_BODY, body: '{"a":1}' })).toBe("in");
    expect(await codes({ headers: { "content-type": "Application/JSON; charset=utf-8" }, body: '{"a":1}' })).toBe("in");
    expect(await codes({ method: "DELETE" })).toBe("in");
    const vendors = { "content-type": "application/vnd.schemaregistry.v1+json" };
    expect(await codes({ headers: vendors, body: '{"a":1}' })).toBe("in");
    expect(await codes({ method: "DELETE", headers: vendors })).toBe("in");
  });

  test("takes a file where one is sent, and there nothing else (door.ts D3)", async () => {
    const { codes } = await port({ bringsFile: (method, path) => method === "PUT" && path.startsWith("/blobs/") });
    const bytes = { "content-type": "application/octet-stream" };
    const body = "x".repeat(1_000); // more than JSON may have
    expect(await codes({ method: "PUT", path: "/blobs/1", headers: bytes, body })).toBe("in");
    expect(await codes({ method: "PUT", path: "/blobs/1", headers: JSON_BODY, body })).toBe("media-type");
    expect(await codes({ method: "POST", path: "/blobs/1", headers: bytes, body })).toBe("media-type");
  });

  test("refuses what another site's page asks, and what it cannot hide (door.ts D2)", async () => {
    const { codes, number } = await port();
    const own = `http://127.0.0.1:${number}`;
    const ask = (headers: Record<string, string>, method = "POST") =>
      codes({
        method,
        headers: method === "POST" ? { ...JSON_BODY, ...headers } : headers,
        ...(method === "POST" && { body: "{}" }),
      });
    for (const method of ["GET", "POST"]) {
      for (const origin of ["https://evil.example", "null", `http://127.0.0.1:${number + 1}`, "http://localhost"]) {
        expect([origin, await ask({ origin }, method)]).toEqual([origin, "site-foreign"]);
      }
      expect(await ask({ "sec-fetch-site": "cross-site" }, method)).toBe("site-foreign");
      expect(await ask({ "sec-fetch-site": "same-site" }, method)).toBe("site-foreign");
      expect(await ask({ origin: own, "sec-fetch-site": "same-origin" }, method)).toBe("in");
      expect(await ask({}, method)).toBe("in");
    }
    const link = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
    expect(await ask(link, "GET")).toBe("in"); // sites.ts B3
    expect(await ask(link)).toBe("site-foreign");
    expect(await ask({ ...link, "sec-fetch-dest": "iframe" }, "GET")).toBe("site-foreign");
  });

  test("lets a listed console in, with the headers that its browser wants (door.ts D2)", async () => {
    const origin = "https://console.example";
    const address = { host: "127.0.0.1", hosts: [], origins: [origin] };
    const { ask } = await port({ address, tokens: [TOKEN] });
    const preflight = await ask({ method: "OPTIONS", headers: { origin, "sec-fetch-site": "cross-site" } });
    expect([preflight.status, preflight.headers["access-control-allow-origin"]]).toEqual([204, origin]);
    const headers = { ...JSON_BODY, origin, "sec-fetch-site": "cross-site", authorization: `Bearer ${TOKEN}` };
    const answer = await ask({ headers, body: "{}" });
    expect([answer.code, answer.headers["access-control-allow-origin"]]).toEqual(["in", origin]);
    const other = await ask({ method: "OPTIONS", headers: { origin: "https://evil.example" } });
    expect([other.code, other.headers["access-control-allow-origin"]]).toEqual(["site-foreign", undefined]);
  });

  test("answers to its own names only (door.ts D1)", async () => {
    const open = { hosts: ["gw.example", ".fleet.example"], origins: [] };
    const [loopback, elsewhere, withTokens] = await Promise.all([
      port({ address: { ...open, host: "127.0.0.1" }, tokens: [TOKEN], wantsToken: changesSomething }),
      port({ address: { ...open, host: "0.0.0.0" } }),
      port({ address: { ...open, host: "0.0.0.0" }, tokens: [TOKEN], wantsToken: changesSomething }),
    ]);
    const at = (door: Awaited<ReturnType<typeof port>>, host: string) =>
      door.codes({ method: "GET", headers: { host } });
    for (const host of ["127.0.0.1:1", "localhost", "LocalHost:8080", "[::1]:1", "gw.example:80", "a.fleet.example"]) {
      for (const door of [loopback, elsewhere, withTokens]) expect([host, await at(door, host)]).toEqual([host, "in"]);
    }
    for (const host of ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "fleet.example"]) {
      expect(await at(loopback, host)).toBe("host-foreign");
      expect(await at(elsewhere, host)).toBe("host-foreign");
      expect(await at(withTokens, host)).toBe("in"); // hosts.ts N3
    }
    // What scrapers and probes of a cluster send.
    for (const host of ["router:8080", "10.0.0.7:8080", "router.tributary.svc:8080", "pi.local", "[fd00::1]:8080"]) {
      expect(await at(loopback, host)).toBe("host-foreign");
      expect([host, await at(elsewhere, host)]).toEqual([host, "in"]); // hosts.ts N2
    }
  });

  test("reads no body before the token, nor one that is too large (door.ts D4, D5, D7)", async () => {
    const { codes, ask, bodies, lines } = await port({ tokens: [TOKEN] });
    const body = "[]";
    expect(await codes({ headers: JSON_BODY, body })).toBe("token-missing");
    const wrong = await ask({ headers: { ...JSON_BODY, authorization: `Bearer ${TOKEN}x` }, body });
    expect([wrong.status, wrong.code, wrong.headers["www-authenticate"]]).toEqual([401, "token-wrong", "Bearer"]);
    const right = { ...JSON_BODY, authorization: `Bearer ${TOKEN}` };
    expect(await codes({ headers: right, body: "x".repeat(101) })).toBe("request-too-large");
    expect(bodies).toEqual([]);
    expect(await codes({ headers: right, body })).toBe("in");
    expect(lines.map(({ event, code, peer }) => [event, code, peer])).toEqual([
      ["http_refused", "token-missing", "127.0.0.1"],
      ["http_refused", "token-wrong", "127.0.0.1"],
      ["http_refused", "request-too-large", "127.0.0.1"],
    ]);
  });

  test("gives pictures to a token alone, and without tokens to programs of its machine alone (door.ts D8)", async () => {
    const readsPictures = (_method: string, path: string) => path === "/picture";
    const picture = { method: "GET", path: "/picture" };
    const closed = await port({ tokens: [TOKEN], wantsToken: changesSomething, readsPictures });
    expect(await closed.codes({ method: "GET" })).toBe("in");
    const refused = await closed.ask(picture);
    expect([refused.status, refused.code, refused.headers["www-authenticate"]]).toEqual([
      ...[401, "token-missing", "Bearer"],
    ]);
    expect(await closed.codes({ ...picture, headers: { authorization: `Bearer ${TOKEN}` } })).toBe("in");
    expect(await (await port({ readsPictures })).codes(picture)).toBe("in");
    for (const address of [
      { host: "127.0.0.1", hosts: ["models.example"], origins: [] },
      { host: "127.0.0.1", hosts: [], origins: ["https://console.example"] },
      { host: "0.0.0.0", hosts: [], origins: [] },
    ]) {
      const published = await port({ address, readsPictures });
      expect(await published.codes({ method: "GET" })).toBe("in");
      expect([address, await published.codes(picture)]).toEqual([address, "pictures-need-a-token"]);
    }
  });

  test("of a stranger's megabytes takes 64 KiB, and answers with the reason all the same (door.ts D7)", async () => {
    const { number, bodies } = await port({ tokens: [TOKEN], bodyBytesMax: 64 << 20 });
    const socket = connect(number, "127.0.0.1");
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk;
    });
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.write(
      `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${32 << 20}\r\n\r\n`,
    );
    const chunk = Buffer.alloc(1 << 16, 32);
    const pump = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on("drain", pump);
    pump();
    await closed;
    expect(answer).toContain("token-missing");
    expect(socket.bytesWritten).toBeLessThan(16 << 20); // what sockets' buffers hold
    expect(bodies).toEqual([]);
  });

  test("ends a body that does not come, and lets a file go on that does (door.ts D6)", async () => {
    const options = { bodyMsMax: 1_000, fileBytesMin: 10, bringsFile: (method: string) => method === "PUT" };
    const { number, lines, bodies } = await port(options);
    const send = (method: string, type: string, everyMs: number) =>
      new Promise<string>((resolve) => {
        const socket = connect(number, "127.0.0.1");
        socket.write(`${method} / HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: 80\r\n\r\n`);
        const timer = setInterval(() => socket.write("aaaaaaaaaa"), everyMs);
        let answer = "";
        socket.on("data", (chunk) => {
          answer += chunk;
          socket.destroy();
        });
        socket.on("error", () => {});
        socket.on("close", () => {
          clearInterval(timer);
          resolve(answer);
        });
      });
    const bytes = "application/octet-stream";
    const [slowJson, slowFile, file] = await Promise.all([
      send("POST", "application/json", 250), // 2 s
      send("PUT", bytes, 5_000),
      send("PUT", bytes, 250),
    ]);
    expect([slowJson, slowFile, file.slice(0, 15)]).toEqual(["", "", "HTTP/1.1 200 OK"]);
    expect(bodies).toEqual(["a".repeat(80)]);
    expect(lines.map(({ code }) => code)).toEqual(["body-late", "body-late"]);
  });
});

describe("guesses", () => {
  test("are slowed by address, and keep out nobody who is in (guesses.ts K1, K2, K3)", () => {
    let now = 0;
    const limits = { burst: 3, refillMs: 1_000, addressesMax: 2 };
    const guesses = new Guesses(new Tokens([TOKEN, `${TOKEN}-2`]), { monotonicMs: () => now }, limits);
    const right = `Bearer ${TOKEN}`;
    const judge = (peer: string, authorization?: string) => guesses.judge(peer, authorization);
    expect(judge("10.0.0.1", right)).toBe("right");
    expect(judge("10.0.0.1")).toBe("missing");
    for (let i = 0; i < 3; i++) expect(judge("10.0.0.1", `Bearer guess-${i}`)).toBe("wrong");
    expect(judge("10.0.0.1", "Bearer guess-3")).toBe("too-many");
    expect(judge("10.0.0.1", `Bearer ${TOKEN}-2`)).toBe("too-many"); // not even a right one that is new here
    expect(judge("10.0.0.1", right)).toBe("right"); // guesses.ts K2
    expect(judge("10.0.0.2", `Bearer ${TOKEN}-2`)).toBe("right");
    now = 1_000;
    expect(judge("10.0.0.1", "Bearer guess-4")).toBe("wrong");
    expect(judge("10.0.0.1", "Bearer guess-5")).toBe("too-many");
    for (let i = 0; i < 100; i++) judge(`10.1.0.${i}`, "Bearer guess");
    expect(guesses.addresses).toBe(2);
  });

  test("over IPv6 count by what one party holds", () => {
    expect(prefixOf("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2");
    expect(prefixOf("2001:db8:1:2::6")).toBe("2001:db8:1:2");
    expect(prefixOf("2001:db8::6")).toBe("2001:db8:0:0");
    expect(prefixOf("::1")).toBe("0:0:0:0");
    expect(prefixOf("fe80::1%eth0")).toBe("fe80:0:0:0");
    expect(prefixOf("192.0.2.7")).toBe("192.0.2.7");
  });
});
