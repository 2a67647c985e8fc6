import { expect, test } from "@jest/globals";
import { type Machine, problemsOf, reservationOf } from "./requirements.ts";

const machine: Machine = { platform: "linux", isRoot: true, memoryKib: 16 << 20, cores: 8, has: () => true };
const wanted = { cores: 2, memoryMib: 4_096 };

test("all that a machine lacks is named at once, with the command that installs it", () => {
  expect(problemsOf(machine, wanted)).toEqual([]);
  const bare = {
    ...machine,
    isRoot: false,
    cores: 1,
    memoryKib: 2 << 20,
    has: (name: string) => name !== "etcd" && name !== "runc",
  };
  expect(problemsOf(bare, wanted)).toEqual([
    expect.stringContaining("sudo npm run cluster"),
    "missing programs: apt-get install --no-install-recommends runc etcd-server",
    "a node has 2 cores: this machine has 1",
    "a node has 4096 MiB for pods alone: this machine has 2048 MiB",
  ]);
  expect(problemsOf({ ...bare, platform: "darwin" }, wanted)).toEqual(["a node needs Linux: this is darwin"]);
});

test("what is reserved leaves exactly what pods may request", () => {
  const { systemReserved, evictionHard } = reservationOf(machine, wanted);
  expect(systemReserved).toEqual({ cpu: "6", memory: `${(16 << 20) - (4_096 + 100) * 1_024}Ki` });
  expect(evictionHard["memory.available"]).toBe("100Mi");
});
