/** Registers the stack's devices through the gateway's public door, and keeps the passwords it is shown once. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "@tributary/kernel";

export type Credentials = { readonly deviceId: string; readonly password: string };

export class Devices {
  readonly #file: string;
  readonly #gateway: () => string;
  readonly #passwords: { [deviceId: string]: string };

  /** `gateway`: base URL. */
  constructor(dir: string, gateway: () => string) {
    this.#file = join(dir, "devices.json");
    this.#gateway = gateway;
    this.#passwords = existsSync(this.#file) ? JSON.parse(readFileSync(this.#file, "utf8")) : {};
  }

  async register(deviceId: string): Promise<Credentials> {
    const known = this.#passwords[deviceId];
    if (known !== undefined && (await this.#isActive(deviceId))) return { deviceId, password: known };
    const body = { deviceId, hardwareClass: "x64", site: "local" };
    let response = await this.#call("POST", "/api/v1/devices", body);
    if (response.status === 409) {
      // Registered by someone who has its password; ours is a new one.
      await this.#call("DELETE", `/api/v1/devices/${deviceId}`);
      response = await this.#call("POST", "/api/v1/devices", body);
    }
    const text = await response.text();
    if (response.status !== 201) {
      throw new Failure(
        "device-refused",
        "ask-a-person",
        `the gateway did not register ${deviceId}: ${response.status} ${text}`,
      );
    }
    const { password } = JSON.parse(text) as Credentials;
    this.#passwords[deviceId] = password;
    writeFileSync(this.#file, `${JSON.stringify(this.#passwords, null, 2)}\n`, { mode: 0o600 });
    return { deviceId, password };
  }

  async #isActive(deviceId: string): Promise<boolean> {
    const response = await this.#call("GET", `/api/v1/devices/${deviceId}`);
    if (!response.ok) return false;
    return ((await response.json()) as { status?: string }).status === "ACTIVE";
  }

  #call(method: string, path: string, body?: object): Promise<Response> {
    return fetch(`${this.#gateway()}${path}`, {
      method,
      signal: AbortSignal.timeout(20_000),
      ...(body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
  }
}
