import { describe, expect, test } from "@jest/globals";
import type { ExecutionContext } from "@nestjs/common";
import type { Problem } from "@tributary/service-kit";
import { AuthGuard } from "./auth.guard.ts";

const TOKEN = "a-token-for-the-test";

function ask(
  path: string,
  options: { tokens?: string[]; health?: true | string; host?: string; authorization?: string } = {},
): string {
  const { tokens = [], health = true, host = "127.0.0.1:8080", authorization } = options;
  const request = { url: path, headers: { host, authorization } };
  const context = { switchToHttp: () => ({ getRequest: () => request }) } as unknown as ExecutionContext;
  try {
    return String(new AuthGuard({ tokens, health: () => health }).canActivate(context));
  } catch (error) {
    return (error as Problem).details.code;
  }
}

describe("the gateway lets in", () => {
  test("who has a token, where there are tokens (A1)", () => {
    const tokens = [TOKEN];
    expect(ask("/api/v1/devices", { tokens })).toBe("token-missing");
    expect(ask("/api/v1/devices", { tokens, authorization: `Bearer ${TOKEN}x` })).toBe("token-missing");
    expect(ask("/api/v1/devices", { tokens, authorization: `Bearer ${TOKEN}` })).toBe("true");
    expect(ask("/subjects?x=/health", { tokens })).toBe("token-missing");
    expect(ask("/healthy", { tokens })).toBe("token-missing");
    for (const path of ["/health/live", "/health/ready", "/metrics"]) expect(ask(path, { tokens })).toBe("true");
    expect(ask("/api/v1/devices", { tokens, authorization: `Bearer ${TOKEN}`, host: "tributary.example" })).toBe(
      "true",
    );
  });

  test("without tokens, only who calls this machine by its own name (A2)", () => {
    for (const host of ["127.0.0.1:8080", "localhost", "LocalHost:1", "[::1]:8080"]) {
      expect(ask("/api/v1/devices", { host })).toBe("true");
    }
    for (const host of ["evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example", ""]) {
      expect(ask("/api/v1/devices", { host })).toBe("host-foreign");
    }
    expect(ask("/health/live", { host: "10.0.0.7:8080" })).toBe("true");
  });

  test("nobody to tables that are still being read (A3)", () => {
    const health = "still reading what Kafka holds";
    expect(ask("/api/v1/devices", { health })).toBe("gateway-starting");
    expect(ask("/API/v1/devices", { health })).toBe("gateway-starting");
    expect(ask("/subjects", { health })).toBe("true");
    expect(ask("/health/ready", { health })).toBe("true");
  });
});
