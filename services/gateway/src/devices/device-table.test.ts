import { expect, test } from "@jest/globals";
import { publicApi } from "@tributary/api";
import { someRegistration, someReported } from "@tributary/testing";
import { DeviceTable } from "./device-table.ts";

const ids = Array.from({ length: 7 }, (_, i) => `cam-${i}`);

function rig() {
  const table = new DeviceTable({ now: () => 0 });
  for (const deviceId of [...ids].reverse()) {
    table.registered(someRegistration({ deviceId, site: deviceId === "cam-3" ? "gate" : "yard" }));
  }
  const page = (query: object) => {
    const { items, next } = table.page(publicApi.devices.list.query.parse(query));
    return [items.map(({ deviceId }) => deviceId).join(" "), next];
  };
  return { table, page };
}

test("pages by id hold every device once, and the last one has no successor", () => {
  const { page } = rig();
  expect(page({})).toEqual([ids.join(" "), null]);
  expect(page({ limit: "3" })).toEqual(["cam-0 cam-1 cam-2", "cam-2"]);
  expect(page({ limit: "3", after: "cam-2" })).toEqual(["cam-3 cam-4 cam-5", "cam-5"]);
  expect(page({ limit: "3", after: "cam-5" })).toEqual(["cam-6", null]);
  expect(page({ limit: "7" })).toEqual([ids.join(" "), null]);
  expect(page({ after: "cam-6" })).toEqual(["", null]);
});

test("what is registered between two pages moves nothing from one to the other", () => {
  const { table, page } = rig();
  for (const deviceId of ["cam-1a", "cam-2a"]) table.registered(someRegistration({ deviceId }));
  expect(page({ limit: "2", after: "cam-2" })).toEqual(["cam-2a cam-3", "cam-3"]);
});

test("pages are of what the filter lets through", () => {
  const { page } = rig();
  expect(page({ site: "yard", limit: "4" })).toEqual(["cam-0 cam-1 cam-2 cam-4", "cam-4"]);
  expect(page({ site: "yard", limit: "4", after: "cam-4" })).toEqual(["cam-5 cam-6", null]);
  expect(page({ status: "REVOKED" })).toEqual(["", null]);
});

test.each([{ limit: "0" }, { limit: "1001" }, { limit: "many" }, { page: "2" }])("%j is refused", (query) => {
  expect(publicApi.devices.list.query.safeParse(query).success).toBe(false);
});

test("devices are counted at the level that they reported last, active ones whose cameras have deadlines", () => {
  const { table } = rig();
  const report = (deviceId: string, level: "FULL" | "LITE" | "SAFE" | null, at: number) =>
    table.reported(
      someReported({
        deviceId,
        driving: level && { level, reason: "hot", since: null, isDegraded: false, lite: null },
      }),
      at,
    );
  report("cam-0", "FULL", 1);
  report("cam-1", "SAFE", 1);
  report("cam-1", "LITE", 2);
  report("cam-2", "LITE", 1);
  report("cam-3", null, 1);
  report("cam-4", "LITE", 1);
  table.registered(someRegistration({ deviceId: "cam-4", status: "REVOKED" }));
  report("unregistered", "SAFE", 1);
  expect(["FULL", "LITE", "STALE", "SAFE"].map((level) => table.countAtLevel(level))).toEqual([1, 2, 0, 0]);
});
