import { expect, test } from "@jest/globals";
import { LoadWatch, pressureIn } from "./load.ts";

test("the kernel's pressure on processors is a share; where it says nothing, it is unknown", () => {
  expect(pressureIn("some avg10=98.25 avg60=5.00 avg300=1.00 total=1\nfull avg10=0.00\n")).toBeCloseTo(0.9825);
  expect([pressureIn(""), pressureIn("some avg10=?")]).toEqual([null, null]);
});

test("the load is that of the safety case while this process is late by no more than is left of a deadline", () => {
  const heartbeat = { lateness: { p99Ms: 1, longestMs: 10 }, stalledAgoMs: null };
  const watch = new LoadWatch(heartbeat, 10, () => undefined);
  expect(watch.now).toMatchObject({ isWithin: true, lateMsMax: 10 });
  heartbeat.lateness = { p99Ms: 1, longestMs: 10.5 };
  expect(watch.now).toMatchObject({ isWithin: false, longestMs: 10.5 });
});
