import { expect, test } from "@jest/globals";
import { type Pod, ReadinessLog, readyPods } from "./readiness.ts";

const pod = (service: string, isReady: boolean, more: Partial<Pod["metadata"]> = {}): Pod => ({
  metadata: { name: `${service}-1`, labels: { "app.kubernetes.io/name": service }, ...more },
  status: { conditions: [{ type: "Ready", status: isReady ? "True" : "False" }] },
});

test("a pod that is being deleted is not ready, and a job's pod is of no service", () => {
  const pods = [
    pod("router", true),
    pod("router", true, { deletionTimestamp: "2026-01-01T00:00:00Z" }),
    pod("bridge", false),
    pod("topics", false, { ownerReferences: [{ kind: "Job" }] }),
  ];
  expect(Object.fromEntries(readyPods(pods))).toEqual({ router: 1, bridge: 0 });
});

test("seconds without readiness are those from a sample without a ready pod to the next sample", () => {
  const log = new ReadinessLog(
    new Map([
      ["router", 2],
      ["bridge", 1],
    ]),
  );
  const at = (ms: number, router: number, bridge: number) =>
    log.add(
      ms,
      new Map([
        ["router", router],
        ["bridge", bridge],
      ]),
    );
  at(0, 2, 1);
  at(500, 1, 0);
  at(1_000, 1, 0);
  at(2_000, 0, 1);
  at(2_500, 2, 1);
  expect(Object.fromEntries(log.secondsWithout(0, 10_000))).toEqual({ bridge: 1.5, router: 0.5 });
  expect(Object.fromEntries(log.secondsWithout(0, 2_000))).toEqual({ bridge: 1.5 });
  expect(log.lacking(new Map([["router", 1]]))).toEqual(["bridge", "router"]);
});
