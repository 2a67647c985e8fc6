/** Sessions of guides: those of a session share a home and running programs, and are run in this order. */
export const sessions: readonly (readonly string[])[] = [
  // The first installs and builds, which the others find done.
  [
    "docs/guides/bring-your-own-model.md",
    "docs/guides/consume-the-topics.md",
    "examples/devices/README.md",
    "examples/consumers/README.md",
  ],
  ["docs/guides/roll-out-a-model.md", "docs/guides/something-is-drifting.md"],
  ["docs/guides/retrain.md"],
  [
    "README.md",
    "docs/guides/agent-on-a-pi.md",
    "docs/guides/update-models-on-devices.md",
    "docs/guides/update-agents.md",
  ],
  ["docs/guides/deploy-to-k3s.md", "docs/guides/demo-rollout.md"],
];
