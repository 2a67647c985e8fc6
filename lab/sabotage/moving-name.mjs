/**
 * Breaks no guarantee: the name `kafka.test` resolves to the address in the file TRIBUTARY_MOVING_NAME, read at each lookup, or to
 * none while that is empty, as the name of a headless Kubernetes service resolves to the address of its present pod.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const file = process.env.TRIBUTARY_MOVING_NAME;
if (!file) throw new Error("sabotage: TRIBUTARY_MOVING_NAME names no file");
const dns = createRequire(import.meta.url)("node:dns");
const { lookup } = dns;

// node:net takes `lookup` from this object at each connection.
dns.lookup = (name, options, callback) => {
  if (name !== "kafka.test") return lookup(name, options, callback);
  const [given, done] = typeof options === "function" ? [{}, options] : [options, callback];
  const address = readFileSync(file, "utf8").trim();
  const isAll = typeof given === "object" && given?.all === true;
  if (address === "") {
    const error = Object.assign(new Error("getaddrinfo ENOTFOUND kafka.test"), { code: "ENOTFOUND" });
    process.nextTick(() => done(error));
    return;
  }
  process.nextTick(() => (isAll ? done(null, [{ address, family: 4 }]) : done(null, address, 4)));
};
