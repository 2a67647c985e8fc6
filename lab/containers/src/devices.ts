/** Devices outside of the cluster: the agent's image, on the host's network, with sample photos as its camera. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { gatewayClient } from "@tributary/api";
import { samples } from "@tributary/stack";
import type { Workload } from "./workload.ts";

const USER = 1_000;
const FPS = 5;

export type OutsideDevice = { readonly deviceId: string; readonly ledger: string; readonly workload: Workload };

/** Registers them through the gateway, as people do. `frames`: of all together. */
export async function outsideDevices(options: {
  readonly count: number;
  readonly frames: number;
  readonly gateway: { readonly url: string; readonly token: string };
  readonly bridgeUrl: string;
  readonly image: string;
  readonly dir: string;
}): Promise<readonly OutsideDevice[]> {
  const { count, frames, gateway, bridgeUrl, image, dir } = options;
  const { devices } = gatewayClient(gateway);
  const made: OutsideDevice[] = [];
  for (let i = 0; i < count; i++) {
    const deviceId = `device-${i + 1}`;
    const { password } = await devices.register({ body: { deviceId, hardwareClass: "x64", site: "outside" } });
    const config = {
      deviceId,
      dataDir: "/var/lib/tributary",
      hardwareClass: "x64",
      mqtt: { url: bridgeUrl, password },
      http: { host: "127.0.0.1", port: 8_100 + i },
      cores: "shared",
      model: { package: "models/edge-resnet8", threads: 1 },
      cameras: [
        {
          ...{ id: "cam", kind: "sheet", sheets: "/samples", fps: FPS, start: i, stride: count },
          ...{ frames: Math.ceil(frames / count), ledger: "/ledger/shown.jsonl", resume: true },
        },
      ],
    };
    const ledgers = join(dir, `ledger-${deviceId}`);
    mkdirSync(ledgers, { recursive: true });
    const files = { "agent.yaml": Buffer.from(JSON.stringify(config)) };
    const workload: Workload = {
      ...{ kind: "service", name: `agent-${i + 1}`, image, args: [], env: {}, user: `${USER}:${USER}` },
      ...{ groups: [], readOnlyRoot: true, capabilitiesDropped: ["ALL"], noNewPrivileges: true, init: false },
      ...{ tmpfs: ["/tmp"], hostNames: [], ports: [], probes: [], graceSeconds: 15, startsAfter: [] },
      mounts: [
        { target: "/etc/tributary", readOnly: true, source: { kind: "files", files, mode: 0o444 } },
        { target: "/samples", readOnly: true, source: { kind: "host", path: samples } },
        { target: "/var/lib/tributary", readOnly: false, source: { kind: "folder", name: `state-${deviceId}` } },
        { target: "/ledger", readOnly: false, source: { kind: "folder", name: `ledger-${deviceId}` } },
      ],
    };
    made.push({ deviceId, ledger: join(ledgers, "shown.jsonl"), workload });
  }
  return made;
}
