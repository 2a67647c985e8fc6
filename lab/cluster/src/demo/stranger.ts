/** A pod of the namespace that is no part of the release: which services it reaches, past the release's NetworkPolicies. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { NAMESPACE } from "../settings.ts";
import type { Release } from "./release.ts";

/** Host and port by service; those that devices reach are open to everybody. */
const PORTS = {
  bridge: 1883,
  "model-registry": 8085,
  gateway: 80,
  kafka: 9092,
  "rollout-manager": 8086,
  trainer: 8089,
  "frame-archive": 8088,
};
export const OPEN: readonly string[] = ["bridge", "model-registry"];

const PROGRAM = `
const { connect } = require("node:net");
const tried = Object.entries(${JSON.stringify(PORTS)}).map(([service, port]) => new Promise((resolve) => {
  const socket = connect({ host: "tributary-" + service, port, timeout: 5000 });
  const end = (isOpen) => { socket.destroy(); resolve(isOpen ? [service] : []); };
  socket.on("connect", () => end(true)).on("error", () => end(false)).on("timeout", () => end(false));
}));
Promise.all(tried).then((open) => console.log(JSON.stringify(open.flat())));
`;

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "stranger", namespace: NAMESPACE },
  spec: {
    restartPolicy: "Never",
    containers: [
      {
        name: "stranger",
        image: "tributary/router:0.1.0",
        command: ["/nodejs/bin/node", "-e", PROGRAM],
        securityContext: {
          allowPrivilegeEscalation: false,
          runAsNonRoot: true,
          runAsUser: 1_000,
          capabilities: { drop: ["ALL"] },
          seccompProfile: { type: "RuntimeDefault" },
        },
      },
    ],
  },
};

/** The services that answered it. */
export async function reachedByStranger(release: Release, dir: string): Promise<readonly string[]> {
  const file = join(dir, "stranger.json");
  writeFileSync(file, JSON.stringify(pod));
  await release.kubectl("apply", "--filename", file);
  const of = ["--namespace", NAMESPACE, "pod/stranger"];
  await release.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s", ...of);
  const output = await release.kubectl("logs", ...of);
  await release.kubectl("delete", "--wait=false", ...of);
  return JSON.parse(output) as string[];
}
