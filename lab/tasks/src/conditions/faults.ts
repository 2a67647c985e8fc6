// The faults of a real fleet: 8 of pipelines, 20 of cameras, 8 of sites, and 4 of what comes before the cameras. They are written from the
// side of whoever looks after cameras, without regard to how faults are found.
import type { Fault } from "./fault.ts";
import { labelFaults } from "./label-faults.ts";
import { lensFaults } from "./lens-faults.ts";
import { mountFaults } from "./mount-faults.ts";
import { pipelineFaults } from "./pipeline-faults.ts";
import { encoderFaults, sensorFaults } from "./sensor-faults.ts";
import { siteFaults } from "./site-faults.ts";

export const faults: readonly Fault[] = [
  ...pipelineFaults,
  ...lensFaults,
  ...sensorFaults,
  ...encoderFaults,
  ...mountFaults,
  ...siteFaults,
  ...labelFaults,
];
