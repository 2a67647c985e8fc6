import { expect, test } from "@jest/globals";
import { someTrainingRun } from "@tributary/testing";
import { forecastRegained, forecastWords, pastTrainings } from "./forecast.ts";

test("more labels are forecast to give more, and earlier trainings of the model narrow what is expected", () => {
  const [few, many] = [forecastRegained(80, []), forecastRegained(300, [])];
  expect(few.regained).toBeLessThan(many.regained);
  const past = [1, 2, 3].map(() => ({ labels: 300, regained: 0.7 }));
  const after = forecastRegained(300, past);
  expect(after.regained).toBeGreaterThan(0.6);
  expect(after.high - after.low).toBeLessThan(many.high - many.low);
  expect(forecastRegained(300, [{ labels: 300, regained: 0 }]).regained).toBeLessThan(many.regained / 2);
});

test("earlier trainings are those of the model that measured it where something was lost", () => {
  const metrics = {
    "labels.train": 300,
    "accuracy.base.before": 0.86,
    "accuracy.slice.before": 0.71,
    "accuracy.slice.after": 0.8,
  };
  const run = (change: object) => someTrainingRun({ model: "edge", metrics, ...change });
  const runs = [
    run({}),
    run({ model: "other" }),
    run({ metrics: {} }),
    run({ metrics: { ...metrics, "accuracy.slice.before": 0.86 } }),
  ];
  expect(pastTrainings(runs, "edge")).toEqual([{ labels: 300, regained: expect.closeTo(0.6) }]);
  expect(forecastWords(300, pastTrainings(runs, "edge"))).toMatch(
    /^\d+ to \d+ % of what is lost is expected back, from 1 earlier training of the model$/,
  );
});
