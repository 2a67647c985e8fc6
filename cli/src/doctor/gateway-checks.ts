/** Checks of the gateway, the fleet and policies. */
import { itemsOfPages } from "@tributary/api";
import { reasonOf } from "@tributary/kernel";
import { CliError, exitCodes } from "../exit-codes.ts";
import type { Gateway } from "../gateway.ts";
import { type Finding, failed, ok, skipped, some, warning } from "./finding.ts";

const CLOCK_MS_MAX = 5_000;
const HEARD_MS_MAX = 5 * 60_000;
const TIMEOUT_MS = 10_000;

export async function checkGateway(gateway: Gateway, now: () => number): Promise<Finding[]> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(gateway.urlOf("health/ready"), { signal: AbortSignal.timeout(TIMEOUT_MS) });
    text = await response.text();
  } catch (error) {
    const cause = (error as { cause?: unknown }).cause ?? error;
    const detail = `${gateway.origin} cannot be reached: ${(cause as { code?: unknown }).code ?? reasonOf(cause)}`;
    return [
      failed("gateway", detail, "start the gateway, or check --gateway"),
      ...["devices", "policies"].map((check) => skipped(check, "only the gateway knows", "see above")),
    ];
  }
  const health = parsed(text) as { status?: unknown; problems?: Record<string, string> } | undefined;
  if (typeof health?.status !== "string") {
    const detail = `${gateway.origin} answers ${response.status}, but not as a Tributary gateway`;
    return [failed("gateway", detail, "check --gateway: another program listens there")];
  }
  const findings: Finding[] = [];
  if (health.status === "ready") findings.push(ok("gateway", `${gateway.origin} is ready`));
  else {
    const problems = Object.entries(health.problems ?? {}).map(([name, why]) => `${name}: ${why}`);
    findings.push(failed("gateway", `not ready: ${some(problems)}`, "wait, or check its log and Kafka below"));
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  const driftMs = Math.abs(now() - date);
  if (driftMs > CLOCK_MS_MAX) {
    const detail = `this machine's and the gateway's differ by ${Math.round(driftMs / 1_000)} s`;
    findings.push(warning("clocks", detail, "synchronise both by NTP: latencies and deadlines use the servers' clock"));
  }
  return [...findings, ...(await Promise.all([checkDevices(gateway, now), checkPolicies(gateway)]))];
}

async function checkDevices(gateway: Gateway, now: () => number): Promise<Finding> {
  try {
    const items = await itemsOfPages((after) => gateway.devices.list({ after }));
    const active = items.filter(({ status }) => status === "ACTIVE");
    const heard = active.filter((device) => now() - Date.parse(device.lastSeenAt ?? "") < HEARD_MS_MAX);
    const detail = `${active.length} active, ${heard.length} of them seen within 5 minutes`;
    if (active.length === 0) return warning("devices", "no device is registered", "tributary devices register ID");
    if (heard.length > 0) return ok("devices", detail);
    return warning("devices", detail, "are agents running, and can they reach the bridge's MQTT port?");
  } catch (error) {
    return refusal("devices", error);
  }
}

async function checkPolicies(gateway: Gateway): Promise<Finding> {
  try {
    const { items } = await gateway.policies.list();
    if (items.length > 0) return ok("policies", `${items.length} in force`);
    return warning("policies", "there is no policy", "start a router with packages: it publishes their policies");
  } catch (error) {
    return refusal("policies", error);
  }
}

const refusal = (check: string, error: unknown): Finding => {
  const advice =
    error instanceof CliError && error.exitCode === exitCodes.unreachable ? "see the gateway" : "see its message";
  return failed(check, reasonOf(error), advice);
};

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
