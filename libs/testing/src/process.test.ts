import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { spawnService } from "./process.ts";
import { type TempDir, tempDir } from "./temp.ts";

describe("a spawned service", () => {
  const dirs: TempDir[] = [];
  const start = (text: string) => {
    const dir = tempDir("spawn");
    dirs.push(dir);
    const main = join(dir.path, "service.mjs");
    writeFileSync(main, text);
    return spawnService({ name: "x", main });
  };
  afterEach(() => {
    for (const dir of dirs.splice(0)) dir.remove();
  });

  test("is ready by its ready line and stops when asked", async () => {
    const service = await start(
      `console.log("starting"); process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1000);
       console.log(JSON.stringify({ event: "ready", service: "x", ports: { http: 7 } }));`,
    );
    expect(service.ports).toEqual({ http: 7 });
    expect(await service.stop()).toEqual({ code: 0, signal: null });
  });

  test("that ends early is reported with its output", async () => {
    await expect(start(`console.error("port taken"); process.exitCode = 1;`)).rejects.toThrow(
      /ended before it was ready\nport taken/,
    );
  });
});
