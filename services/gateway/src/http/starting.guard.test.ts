import { expect, test } from "@jest/globals";
import type { ExecutionContext } from "@nestjs/common";
import type { Problem } from "@tributary/service-kit";
import { wantsToken } from "./open-paths.ts";
import { StartingGuard } from "./starting.guard.ts";

function ask(url: string, health: true | string): string {
  const context = { switchToHttp: () => ({ getRequest: () => ({ url }) }) } as unknown as ExecutionContext;
  try {
    return String(new StartingGuard({ health }).canActivate(context));
  } catch (error) {
    return (error as Problem).details.code;
  }
}

test("nobody is answered from tables that are still being read", () => {
  const health = "still reading what Kafka holds";
  expect(ask("/api/v1/devices", health)).toBe("gateway-starting");
  expect(ask("/API/v1/devices", health)).toBe("gateway-starting");
  expect(ask("/subjects", health)).toBe("true");
  expect(ask("/health/ready", health)).toBe("true");
  expect(ask("/api/v1/devices", true)).toBe("true");
});

test("only probes, scrapers and readers of the descriptions need no token", () => {
  for (const path of ["/health/live", "/health/ready", "/metrics", "/asyncapi", "/asyncapi.yaml"]) {
    expect([path, wantsToken("GET", path)]).toEqual([path, false]);
  }
  for (const path of ["/", "/api/v1/devices", "/healthy", "/metrics/x", "/subjects", "/HEALTH/live"]) {
    expect([path, wantsToken("GET", path)]).toEqual([path, true]);
  }
});
