import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { spawnService } from "./process.ts";
import { tempDir } from "./temp.ts";

describe("a spawned service", () => {
  test("is ready by its own word and stops when asked", async () => {
    using dir = tempDir("spawn");
    const main = join(dir.path, "service.mjs");
    writeFileSync(
      main,
      `console.log("starting"); console.log(JSON.stringify({ event: "ready", service: "x", ports: { http: 7 } }));
       process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1000);`,
    );
    const service = await spawnService({ name: "x", main });
    expect(service.ports).toEqual({ http: 7 });
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });

  test("that ends early is reported with what it said", async () => {
    using dir = tempDir("spawn");
    const main = join(dir.path, "service.mjs");
    writeFileSync(main, `console.error("port taken"); process.exitCode = 1;`);
    await expect(spawnService({ name: "x", main })).rejects.toThrow(/ended before it was ready\nport taken/);
  });
});
