/** Registers the stack's devices through the gateway's API, and stores their passwords. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ApiFailure, type GatewayClient, gatewayClient } from "@tributary/api";

/** Where a device stands, as its operator registers it. */
export type Place = {
  readonly site?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
};

export type Credentials = { readonly deviceId: string; readonly password: string };

export class Devices {
  readonly #file: string;
  readonly #gateway: GatewayClient;
  readonly #passwords: { [deviceId: string]: string };

  constructor(dir: string, gatewayUrl: string, token?: string) {
    this.#file = join(dir, "devices.json");
    this.#gateway = gatewayClient({ url: gatewayUrl, token });
    this.#passwords = existsSync(this.#file) ? JSON.parse(readFileSync(this.#file, "utf8")) : {};
  }

  async register(deviceId: string, { site = "local", labels }: Place = {}): Promise<Credentials> {
    const known = this.#passwords[deviceId];
    if (known !== undefined && (await this.#isActive(deviceId))) return { deviceId, password: known };
    const { devices } = this.#gateway;
    const body = { deviceId, hardwareClass: "x64", site, ...(labels && { labels }) };
    const { password } = await devices.register({ body }).catch(async (error: unknown) => {
      if (!(error instanceof ApiFailure) || error.status !== 409) throw error;
      // Registered by someone who has its password; ours is a new one.
      await devices.revoke({ deviceId });
      return devices.register({ body });
    });
    this.#passwords[deviceId] = password;
    writeFileSync(this.#file, `${JSON.stringify(this.#passwords, null, 2)}\n`, { mode: 0o600 });
    return { deviceId, password };
  }

  async #isActive(deviceId: string): Promise<boolean> {
    try {
      return (await this.#gateway.devices.one({ deviceId })).status === "ACTIVE";
    } catch (error) {
      if (error instanceof ApiFailure && error.status !== null) return false;
      throw error;
    }
  }
}
