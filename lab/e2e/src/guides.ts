/** The guides of a session share a home and running programs, and are run in this order. */
type Session = {
  readonly guides: readonly string[];
  /** What the guide shows depends on how fast its devices are: other tests are over first. */
  readonly isAlone?: true;
  /** CI has no time for it: it is one of the long drills. */
  readonly isLong?: true;
};

export const sessions: readonly Session[] = [
  {
    guides: [
      "docs/guides/bring-your-own-model.md",
      "docs/guides/consume-the-topics.md",
      "examples/devices/README.md",
      "examples/consumers/README.md",
    ],
  },
  {
    guides: [
      "README.md",
      "docs/guides/is-the-cloud-worth-it.md",
      "docs/guides/agent-on-a-pi.md",
      "docs/guides/update-models-on-devices.md",
      "docs/guides/update-agents.md",
    ],
  },
  { guides: ["docs/guides/deploy-to-k3s.md"] },
  { guides: ["docs/guides/retrain.md"], isLong: true },
  { guides: ["docs/guides/demo-rollout.md"], isLong: true },
  // Last, as it waits for the others.
  { guides: ["docs/guides/roll-out-a-model.md", "docs/guides/something-is-drifting.md"], isAlone: true },
];
