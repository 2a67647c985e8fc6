export { binomial, normal } from "./draws.ts";
export { calmly, MINUTE, type Simulation, type SimulationResult, simulate, usualSpec } from "./simulate.ts";
export { type Candidate, roughWorld, soundCandidate } from "./world.ts";
