import { createHmac, scryptSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { repositoryRoot, someRegistration } from "@tributary/testing";
import { authenticate, DeviceDirectory, isOwnWill, maySubscribe, returnCodeOf, returnCodes } from "./auth.ts";
import { PasswordChecker, parsePasswordHash, type ScryptCost, verifyScrypt } from "./password.ts";

const hashOf = (password: string, n = 1_024) => {
  const salt = Buffer.from("0123456789abcdef");
  const hash = scryptSync(password, salt, 32, { N: n, r: 8, p: 1 });
  return `scrypt$${n}$8$1$${salt.toString("base64")}$${hash.toString("base64")}`;
};

const quickHashOf = (password: string) => {
  const salt = Buffer.from("0123456789abcdef");
  const hash = createHmac("sha256", salt).update(password).digest();
  return `hmac-sha256$${salt.toString("base64")}$${hash.toString("base64")}`;
};
const here = { source: "192.0.2.1", isGone: () => false };

function fleet(waitingMax = 8) {
  const directory = new DeviceDirectory();
  const put = (deviceId: string, passwordHash: string, status: "ACTIVE" | "REVOKED" = "ACTIVE") =>
    directory.apply(deviceId, someRegistration({ deviceId, passwordHash, status }));
  put("cam-1", hashOf("right"));
  put("gone", hashOf("right"), "REVOKED");
  const scrypts: ScryptCost[] = [];
  const passwords = new PasswordChecker(directory, waitingMax, (password, known) => {
    const { cost, blockSize, parallelization } = known;
    scrypts.push({ cost, blockSize, parallelization });
    return verifyScrypt(password, known);
  });
  const ask = (clientId: string, user: string | undefined, password: string | undefined) =>
    authenticate(
      { clientId, user, password: password === undefined ? undefined : Buffer.from(password) },
      here,
      directory,
      passwords,
    );
  const check = (deviceId: string, password = "right", source = here.source) =>
    passwords.check({ deviceId, password: Buffer.from(password), source, isGone: () => false });
  return { directory, passwords, scrypts, put, ask, check };
}

describe("who may connect", () => {
  test("a registered device under its own name, and no other client (auth.ts A1)", async () => {
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

  test("a revoked device and a changed password end the session, an unchanged record does not (auth.ts A3)", async () => {
    const { directory, ask } = fleet();
    const same = directory.get("cam-1") ?? null;
    expect(directory.apply("cam-1", same)).toBe(false);
    expect(await ask("cam-1", "cam-1", "right")).toBeUndefined();
    expect(directory.apply("cam-1", someRegistration({ passwordHash: hashOf("new") }))).toBe(true);
    expect(await ask("cam-1", "cam-1", "right")).toBe("password-wrong");
    expect(await ask("cam-1", "cam-1", "new")).toBeUndefined();
    expect(directory.apply("cam-1", null)).toBe(true);
    expect(await ask("cam-1", "cam-1", "new")).toBe("device-unknown");
  });

  test("names that are unknown, revoked, unusable or another's get one answer; operators get the reason (auth.ts A4)", async () => {
    const { put, ask } = fleet();
    put("odd", "plain");
    const reasons = await Promise.all(["cam-1", "gone", "odd", "nobody"].map((name) => ask(name, name, "wrong")));
    expect(reasons).toEqual(["password-wrong", "device-revoked", "password-hash-unusable", "device-unknown"]);
    expect(reasons.map((reason) => reason && returnCodeOf(reason))).toEqual([5, 5, 5, 5]);
  });

  test("refusals cost the same for names that exist and that do not (password.ts P4)", async () => {
    const { put, check, scrypts } = fleet();
    put("slow", hashOf("right", 16_384));
    put("quick", quickHashOf("right"));
    const costOf = async (deviceId: string) => {
      expect(await check(deviceId, "guess")).toBe("wrong");
      return scrypts.splice(0);
    };
    const dear = [{ cost: 16_384, blockSize: 8, parallelization: 1 }];
    for (const name of ["slow", "quick", "nobody", "gone"]) expect(await costOf(name)).toEqual(dear);
  });

  test("a verified pair costs no second scrypt (password.ts P2)", async () => {
    const { put, check, scrypts } = fleet();
    put("a", hashOf("right"));
    for (let i = 0; i < 1_000; i++) expect(await check("a")).toBe("right");
    expect(scrypts).toHaveLength(1);
    put("a", hashOf("new"));
    expect([await check("a"), await check("a", "new")]).toEqual(["wrong", "right"]);
  });

  test("a generated password is checked at once, however many others wait (password.ts P3)", async () => {
    const { put, check } = fleet();
    put("slow", hashOf("right", 16_384));
    put("quick", quickHashOf("right"));
    let guessed = 0;
    const guesses = Array.from({ length: 8 }, async (_, i) => {
      await check("quick", `guess ${i}`);
      guessed++;
    });
    expect(await check("quick")).toBe("right");
    expect(guessed).toBe(0);
    expect(await check("quick", "hmac-sha256")).not.toBe("right");
    await Promise.all(guesses);
  });

  test("guesses of a device's password from another address do not make the device wait (password.ts P3)", async () => {
    const { put, check } = fleet(64);
    put("victim", hashOf("right", 4_096));
    let guessed = 0;
    const guesses = Array.from({ length: 200 }, async (_, i) => {
      const verdict = await check("victim", `guess ${i}`, "203.0.113.9");
      if (verdict === "wrong") guessed++;
      return verdict;
    });
    expect(await check("victim")).toBe("right");
    expect(guessed).toBeLessThanOrEqual(4); // those that ran already, and one in turn
    const verdicts = await Promise.all(guesses);
    expect(verdicts.filter((verdict) => verdict === "busy").length).toBeGreaterThanOrEqual(200 - 64 - 4);
  });

  test("few checks wait; beyond it the address that has most of them is refused for now, and clients that went away cost nothing (password.ts P3)", async () => {
    const { put, check, passwords } = fleet(4);
    for (let i = 0; i < 50; i++) put(`d${i}`, hashOf("right"));
    const flood = Array.from({ length: 50 }, (_, i) => check(`d${i}`, "right", "203.0.113.9"));
    const few = Array.from({ length: 2 }, (_, i) => check(`d${i}`, "right", "192.0.2.9"));
    expect(await Promise.all(few)).toEqual(["right", "right"]);
    const verdicts = await Promise.all(flood);
    expect(verdicts.filter((verdict) => verdict === "busy").length).toBeGreaterThanOrEqual(40);
    expect(passwords.waiting).toBe(0);
    const isGone = () => true;
    const gone = ["d1", "d2", "d3", "d4", "d5", "d6"].map((deviceId) =>
      passwords.check({ deviceId, password: Buffer.from("other"), source: "a", isGone }),
    );
    expect((await Promise.all(gone)).filter((verdict) => verdict === "busy").length).toBeGreaterThan(0);
    expect(await check("d49")).toBe("right");
  });

  test("a hash that would cost too much, or is none, is not computed (password.ts P1)", async () => {
    const good = hashOf("right").split("$");
    const withPart = (index: number, value: string) => good.map((part, i) => (i === index ? value : part)).join("$");
    expect(parsePasswordHash(good.join("$"))).toBeDefined();
    expect(parsePasswordHash(quickHashOf("right"))).toBeDefined();
    const bad = [
      withPart(1, "1073741824"),
      withPart(1, "1000"),
      withPart(2, "99999999"),
      withPart(3, "99"),
      withPart(3, "0"),
    ];
    const odd = ["hmac-sha256$$", quickHashOf("right").slice(0, -20), `${quickHashOf("right")}$x`];
    for (const text of [
      ...bad,
      ...odd,
      withPart(4, ""),
      withPart(5, "AAAA"),
      withPart(0, "bcrypt"),
      "",
      "$$$$$",
      "plain",
    ]) {
      expect([text, parsePasswordHash(text)]).toEqual([text, undefined]);
      const { put, check } = fleet();
      put("a", text);
      expect(await check("a", "x")).toBe("hash-unusable");
    }
  });
});

test("a last will is the device's own availability and nothing else", () => {
  const own = (topic: string, payload: string) =>
    isOwnWill(
      { clientId: "cam-1", user: "cam-1", password: undefined, will: { topic, payload: Buffer.from(payload) } },
      "tributary",
    );
  expect(own("tributary/v1/cam-1/availability", "offline")).toBe(true);
  for (const [topic, payload] of [
    ["tributary/v1/cam-2/availability", "offline"],
    ["tributary/v1/cam-1/availability", "online"],
    ["tributary/v1/cam-1/up/frames", "offline"],
    ["tributary/v1/+/availability", "offline"],
    ["$SYS/x", "offline"],
  ] as const) {
    expect([topic, own(topic, payload)]).toEqual([topic, false]);
  }
});

test("a device subscribes to its own downlink only (auth.ts A2)", () => {
  const may = (filter: string) => maySubscribe("cam-1", filter, "tributary");
  for (const channel of ["policy", "desired", "check", "results", "results/json", "acks", "#", "+"]) {
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

test("the contract's page names each refusal beside its return code", () => {
  const page = readFileSync(join(repositoryRoot, "docs/mqtt-contract.md"), "utf8");
  const documented = [...page.matchAll(/^\| (\d) {2,}\| (`.*?) *\|/gm)].flatMap(([, returned, codes = ""]) =>
    [...codes.matchAll(/`([a-z-]+)`/g)].map(([, code = ""]) => [code, Number(returned)]),
  );
  expect(Object.fromEntries(documented)).toEqual(returnCodes);
});
