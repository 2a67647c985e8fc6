/** Five things that happen to one fleet of the sample's task: ten classes, as often as each other. */
import { DUSK_VIEWS, WARM_SCENE, WARM_SWAPPED } from "./objects-pool.ts";
import { CLEAR, caseOf, fleetOf, type Group, PIPELINE, SHARED_SITES, type Story } from "./story.ts";

const LENS = { lens: "acme-1" };
const RARE_LENS = "acme-2";
const NEW_CLASS = "ship";
const BUILD = { agentVersion: "0.2.0", fault: "channels-swapped" } as const;

const changed: readonly Group[] = [
  { name: "camera", devices: 3, sites: SHARED_SITES, labels: { lens: RARE_LENS }, fps: 4 },
  { name: "dusk", devices: 8, sites: ["north"], labels: LENS },
  { name: "class-mix", devices: 6, sites: ["harbour"], labels: LENS, fps: 2 },
  { name: PIPELINE, devices: 5, sites: SHARED_SITES, labels: LENS },
];

export function objectsStory(devices: number): Story {
  const viewOf = (name: string) => (name === "camera" ? WARM_SCENE : CLEAR);
  const fleet = fleetOf(devices, changed, LENS, ({ case: name }) => ({ view: viewOf(name) }));
  const cases = [
    caseOf(fleet, {
      name: "camera",
      summary: "the cameras with one lens deliver red and blue swapped",
      expected: { cause: "CAMERA", scopeKey: "label:lens", scopeValue: RARE_LENS, faults: ["channels-swapped"] },
      becomes: [{ view: WARM_SWAPPED }],
    }),
    caseOf(fleet, {
      name: "dusk",
      summary: "it grows dark at one site",
      expected: { cause: "WORLD", scopeKey: "site", scopeValue: "north", faults: ["dark"] },
      becomes: DUSK_VIEWS.map((view) => ({ view })),
    }),
    caseOf(fleet, {
      name: "class-mix",
      summary: "cameras of one site see mostly ships",
      expected: { cause: "LABEL_SHIFT", scopeKey: "site", scopeValue: "harbour", faults: [""] },
      becomes: [{ view: CLEAR, classes: [NEW_CLASS] }],
    }),
    caseOf(fleet, {
      name: PIPELINE,
      summary: "an agent version prepares pictures with red and blue swapped",
      expected: {
        cause: "PREPROCESSING",
        scopeKey: "agentVersion",
        scopeValue: BUILD.agentVersion,
        faults: [BUILD.fault],
      },
    }),
    caseOf(fleet, { name: "nothing", summary: "nothing changes", expected: null }),
  ];
  return { task: "objects", fleet, cases, build: BUILD };
}
