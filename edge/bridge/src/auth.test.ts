import { scryptSync } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { someRegistration } from "@tributary/testing";
import { authenticate, DeviceDirectory, maySubscribe } from "./auth.ts";
import { PasswordChecker, parsePasswordHash } from "./password.ts";

const hashOf = (password: string, n = 1_024) => {
  const salt = Buffer.from("0123456789abcdef");
  const hash = scryptSync(password, salt, 32, { N: n, r: 8, p: 1 });
  return `scrypt$${n}$8$1$${salt.toString("base64")}$${hash.toString("base64")}`;
};

function fleet() {
  const directory = new DeviceDirectory();
  directory.apply("cam-1", someRegistration({ deviceId: "cam-1", passwordHash: hashOf("right") }));
  directory.apply("gone", someRegistration({ deviceId: "gone", passwordHash: hashOf("right"), status: "REVOKED" }));
  const passwords = new PasswordChecker(8);
  const ask = (clientId: string, user: string | undefined, password: string | undefined) =>
    authenticate(
      { clientId, user, password: password === undefined ? undefined : Buffer.from(password) },
      directory,
      passwords,
    );
  return { directory, passwords, ask };
}

describe("who may connect", () => {
  test("a registered device under its own name, and nobody else (A1)", async () => {
    const { ask } = fleet();
    expect(await ask("cam-1", "cam-1", "right")).toBeUndefined();
    expect(await ask("cam-1", "cam-1", "right")).toBeUndefined();
    expect(await ask("cam-1", "cam-1", "wrong")).toBe("password-wrong");
    expect(await ask("cam-1", "cam-1", "")).toBe("password-missing");
    expect(await ask("cam-1", "cam-1", undefined)).toBe("password-missing");
    expect(await ask("cam-1", "gone", "right")).toBe("client-id-not-user");
    expect(await ask("cam-1", undefined, "right")).toBe("client-id-not-user");
    expect(await ask("nobody", "nobody", "right")).toBe("device-unknown");
    expect(await ask("__proto__", "__proto__", "right")).toBe("client-id-malformed");
    expect(await ask("", "", "right")).toBe("client-id-malformed");
    expect(await ask("gone", "gone", "right")).toBe("device-revoked");
  });

  test("a revoked device and a changed password end the session, an unchanged record does not (A3)", async () => {
    const { directory, ask } = fleet();
    const same = directory.get("cam-1");
    expect(directory.apply("cam-1", same)).toBe(false);
    expect(await ask("cam-1", "cam-1", "right")).toBeUndefined();
    expect(directory.apply("cam-1", someRegistration({ passwordHash: hashOf("new") }))).toBe(true);
    expect(await ask("cam-1", "cam-1", "right")).toBe("password-wrong");
    expect(await ask("cam-1", "cam-1", "new")).toBeUndefined();
    expect(directory.apply("cam-1", undefined)).toBe(true);
    expect(await ask("cam-1", "cam-1", "new")).toBe("device-unknown");
  });

  test("a verified pair costs no second scrypt (P2)", async () => {
    const { passwords } = fleet();
    const hash = hashOf("right", 16_384);
    expect(await passwords.check("a", Buffer.from("right"), hash)).toBe("right");
    const cpu = process.cpuUsage();
    for (let i = 0; i < 1_000; i++) expect(await passwords.check("a", Buffer.from("right"), hash)).toBe("right");
    expect(process.cpuUsage(cpu).user / 1_000).toBeLessThan(2_000); // a thousand checks would take 30 s
  });

  test("few checks wait and one runs per device; the others are told to come back (P3)", async () => {
    const passwords = new PasswordChecker(2);
    const hash = hashOf("right");
    const twice = await Promise.all([1, 2].map(() => passwords.check("a", Buffer.from("right"), hash)));
    expect(twice.toSorted()).toEqual(["busy", "right"]);
    const many = await Promise.all(
      Array.from({ length: 50 }, (_, i) => passwords.check(`d${i}`, Buffer.from("right"), hash)),
    );
    expect(many.filter((verdict) => verdict === "busy").length).toBeGreaterThan(0);
    expect(many.filter((verdict) => verdict === "right").length).toBeGreaterThan(0);
    expect(await passwords.check("d49", Buffer.from("right"), hash)).toBe("right");
  });

  test("a hash that would cost too much, or is none, is not computed (P1)", async () => {
    const good = hashOf("right").split("$");
    const withPart = (index: number, value: string) => good.map((part, i) => (i === index ? value : part)).join("$");
    expect(parsePasswordHash(good.join("$"))).toBeDefined();
    const bad = [
      withPart(1, "1073741824"),
      withPart(1, "1000"),
      withPart(2, "99999999"),
      withPart(3, "99"),
      withPart(3, "0"),
    ];
    for (const text of [...bad, withPart(4, ""), withPart(5, "AAAA"), withPart(0, "bcrypt"), "", "$$$$$", "plain"]) {
      expect([text, parsePasswordHash(text)]).toEqual([text, undefined]);
      expect(await new PasswordChecker(8).check("a", Buffer.from("x"), text)).toBe("hash-unusable");
    }
  });
});

test("a device subscribes to its own downlink only (A2)", () => {
  const may = (filter: string) => maySubscribe("cam-1", filter, "tributary");
  for (const channel of ["policy", "desired", "results", "results/json", "acks", "#", "+"]) {
    expect(may(`tributary/v1/cam-1/down/${channel}`)).toBe(true);
  }
  const refused = ["#", "+", "$SYS/#", "tributary/#", "tributary/v1/+/down/#", "tributary/v1/cam-2/down/#"];
  const own = [
    "up/#",
    "up/frames",
    "availability",
    "#",
    "down",
    "down/other",
    "down/policy/#",
    "down/policy/json",
    "down/+/json",
    "+/policy",
  ];
  for (const filter of [...refused, ...own.map((rest) => `tributary/v1/cam-1/${rest}`)]) {
    expect([filter, may(filter)]).toEqual([filter, false]);
  }
});
