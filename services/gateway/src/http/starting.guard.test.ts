import { expect, test } from "@jest/globals";
import type { ExecutionContext } from "@nestjs/common";
import type { Problem } from "@tributary/service-kit";
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
