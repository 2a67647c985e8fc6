/** The public API as the demo uses it: what a person or a pipeline could call as well. */
import { Failure, reasonOf } from "@tributary/kernel";

export type RolloutView = {
  readonly uid: string;
  readonly name: string;
  readonly model: { readonly digest: string; readonly version: string | null };
  readonly phase: "Unknown" | "Progressing" | "Paused" | "Healthy" | "Degraded";
  readonly step: number;
  readonly steps: number;
  readonly weight: number;
  readonly analysis: string;
  readonly message: string;
  readonly isBack: boolean;
  readonly abandoned: object | null;
  readonly devices: number;
  readonly reached: number;
  readonly updated: number;
  readonly refused: number;
};

export type RolloutDetail = RolloutView & { readonly spec: unknown; readonly evidence: unknown };

export type RolloutEventView = {
  readonly version: number;
  readonly at: string;
  readonly by: string;
  readonly kind: string;
  readonly [field: string]: unknown;
};

export type GateView = {
  readonly passed: boolean;
  readonly failed: readonly string[];
  readonly forcedBy: string | null;
  readonly pageDigest: string;
};

export class Api {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async rollouts(): Promise<readonly RolloutView[]> {
    return (await this.#get<{ items: readonly RolloutView[] }>("rollouts")).items;
  }

  rollout(uid: string): Promise<RolloutDetail> {
    return this.#get(`rollouts/${uid}`);
  }

  async events(uid: string): Promise<readonly RolloutEventView[]> {
    return (await this.#get<{ items: readonly RolloutEventView[] }>(`rollouts/${uid}/events`)).items;
  }

  async canary(uid: string): Promise<readonly string[]> {
    const { items } = await this.#get<{ items: readonly { deviceId: string }[] }>(`rollouts/${uid}/devices?arm=canary`);
    return items.map(({ deviceId }) => deviceId);
  }

  async report(uid: string): Promise<string> {
    return (await this.#call("GET", `rollouts/${uid}/report`)).text();
  }

  async gate(name: string, version: string): Promise<GateView | null> {
    return (await this.#get<{ gate: GateView | null }>(`models/${name}/${version}`)).gate;
  }

  async alias(name: string, alias: string, version: string): Promise<void> {
    await this.#call("PUT", `models/${name}/aliases/${alias}`, { version, by: "demo" });
  }

  async force(name: string, version: string, reason: string): Promise<void> {
    await this.#call("POST", `models/${name}/${version}/gate/force`, { by: "demo", reason });
  }

  async #get<T>(path: string): Promise<T> {
    return (await (await this.#call("GET", path)).json()) as T;
  }

  async #call(method: string, path: string, body?: object): Promise<Response> {
    const url = `${this.#url}/api/v1/${path}`;
    const response = await fetch(url, {
      method,
      signal: AbortSignal.timeout(30_000),
      ...(body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    }).catch((error: unknown) => {
      throw new Failure("gateway-unreachable", "retry", `${method} ${url}: ${reasonOf(error)}`, { cause: error });
    });
    if (response.ok) return response;
    throw new Failure("gateway-refused", "give-up", `${method} ${url}: ${response.status} ${await response.text()}`);
  }
}
