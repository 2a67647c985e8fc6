// The rooms and who may enter them: docs/ARCHITECTURE.md has the same table for people.
// `libs/*` does not match `libs/core/*` or `libs/adapters/*`: each is listed. tools/check-rooms.mjs plants a
// violation of every rule here and fails when one is not found.
const TEST = "\\.test(-kit)?\\.ts$";
const rooms = {
  kernel: "^libs/kernel/",
  api: "^libs/api/",
  contracts: "^libs/contracts/",
  core: "^libs/core/[^/]+/",
  telemetry: "^libs/telemetry/",
  config: "^libs/config/",
  adapters: "^libs/adapters/[^/]+/",
  serviceKit: "^libs/service-kit/",
  followedPackages: "^libs/followed-packages/",
  modelPackaging: "^libs/model-packaging/",
  localTraining: "^libs/local-training/",
  testing: "^libs/testing/",
  services: "^services/[^/]+/",
  edge: "^edge/[^/]+/",
  cli: "^cli/",
  console: "^console/",
  lab: "^lab/(?!bench/)",
  bench: "^lab/bench/",
};
const {
  kernel,
  api,
  contracts,
  core,
  telemetry,
  config,
  adapters,
  serviceKit,
  followedPackages,
  modelPackaging,
  localTraining,
  testing,
} = rooms;
const libs = [
  ...[kernel, api, contracts, core, telemetry, config, adapters, serviceKit],
  ...[followedPackages, modelPackaging, localTraining],
];

/** Room `name` imports, of ours, only itself and `allowed`; its tests also libs/testing. */
const enters = (name, allowed, comment) => ({
  name: `${name}-room`,
  severity: "error",
  comment,
  from: { path: rooms[name], pathNot: TEST },
  to: { path: Object.values(rooms), pathNot: [rooms[name], ...allowed] },
});
const alone = (name) => ({
  name: `${name}-alone`,
  severity: "error",
  comment: `${name} never import each other`,
  from: { path: rooms[name].replace("[^/]+", "([^/]+)") },
  to: { path: rooms[name], pathNot: rooms[name].replace("[^/]+", "$1") },
});
const vendor = (name, packages, owners) => ({
  name: `${name}-sdk`,
  severity: "error",
  comment: `${name}'s SDK stays behind its adapter`,
  from: { pathNot: owners },
  to: { path: packages.map((p) => `node_modules/${p}/`) },
});

module.exports = {
  forbidden: [
    enters("kernel", [], "kernel imports nothing of ours"),
    enters("contracts", [], "contracts import nothing of ours"),
    enters("api", [kernel], "the public API stands for itself: who calls it needs nothing of the domain"),
    enters("core", [kernel, contracts], "the domain is pure: kernel, contracts and sibling core"),
    enters("telemetry", [kernel], "telemetry imports the kernel"),
    enters("config", [kernel], "config imports the kernel"),
    enters("adapters", [kernel, contracts, core, telemetry], "an adapter implements ports with one vendor SDK"),
    enters("serviceKit", [kernel, api, contracts, telemetry, adapters, config], "Nest glue knows no domain"),
    enters(
      "followedPackages",
      [kernel, contracts, core, telemetry, adapters, config, serviceKit],
      "a service's packages, whatever they are used for",
    ),
    enters(
      "modelPackaging",
      [kernel, core, adapters],
      "packages are made, checked and judged without a service around them",
    ),
    enters("localTraining", [kernel, core, adapters], "models are trained without a service around them"),
    enters("testing", libs, "testing imports libs"),
    enters("services", libs, "a service is wiring of libs"),
    enters("edge", libs, "what runs on or faces devices is wiring of libs"),
    enters("cli", libs, "the cli uses libs and the public API"),
    enters("console", [api], "the console uses the public API only"),
    enters(
      "lab",
      [...libs, testing, "^edge/agent/"],
      "the lab starts processes and goes through the public doors; its simulated devices are agents, many to a process",
    ),
    enters(
      "bench",
      [...libs, testing, rooms.lab, rooms.edge, "^services/cloud-classifier/", "^services/rollout-manager/"],
      "benches measure libs, the agent, the backends of cloud models, the fold of a fleet's records and the whole",
    ),
    alone("adapters"),
    alone("services"),
    alone("edge"),
    {
      name: "testing-in-tests-only",
      severity: "error",
      comment: "libs/testing is for tests, benches, chaos and demos",
      from: { pathNot: [TEST, testing, "^lab/"] },
      to: { path: testing },
    },
    {
      name: "core-does-no-io",
      severity: "error",
      comment: "the core has no clock, no chance and no I/O (G10)",
      from: { path: core, pathNot: TEST },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "agent-never-reaches-kafka",
      severity: "error",
      comment: "the agent speaks MQTT only, and has no room for Nest",
      from: { path: "^edge/agent/src/", pathNot: TEST },
      to: {
        path: ["^libs/adapters/kafka/", serviceKit, "node_modules/(kafkajs|@platformatic/kafka|@nestjs)/"],
        reachable: true,
      },
    },
    {
      name: "one-follower",
      severity: "error",
      comment: "only follow.ts reads a topic without an end: call it to follow one",
      from: {
        pathNot: [
          "^libs/adapters/kafka/src/(follow|ports|reader|reader\\.integration\\.test)\\.ts$",
          "^libs/testing/src/memory-kafka\\.ts$",
        ],
      },
      to: { path: "^libs/adapters/kafka/src/tail\\.ts$" },
    },
    vendor("kafka", ["kafkajs", "@platformatic/kafka"], ["^libs/adapters/kafka/", testing, TEST]),
    vendor("mqtt", ["mqtt"], ["^libs/adapters/mqtt/", testing, "^lab/", TEST]),
    vendor("onnx", ["onnxruntime-node"], ["^libs/adapters/onnx/", rooms.bench]),
    vendor("calls", ["cockatiel"], ["^libs/adapters/calls/"]),
    vendor("tuf", ["tuf-js", "@tufjs/[^/]+"], ["^libs/adapters/tuf/"]),
    vendor(
      "sagemaker",
      ["@aws-sdk/client-sagemaker-runtime"],
      ["^services/cloud-classifier/src/backends/", rooms.bench],
    ),
    vendor("s3", ["@aws-sdk/client-s3"], ["^libs/adapters/blob-store/"]),
    vendor("training", ["@aws-sdk/client-sfn", "@aws-sdk/client-sagemaker"], ["^services/trainer/src/backends/"]),
    {
      name: "no-circle",
      severity: "error",
      comment: "files that need each other are one idea in two files",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "resolvable",
      severity: "error",
      comment: "an import that resolves to nothing hides from every other rule",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    exclude: { path: ["(^|/)dist/", "/generated/"] },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["@tributary/source", "import", "node", "default", "types"],
      extensions: [".ts", ".mjs", ".js", ".cjs", ".json", ".d.ts"],
    },
  },
};
