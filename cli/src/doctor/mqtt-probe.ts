/** Whether an address is an MQTT broker's: one CONNECT without a password. Any CONNACK counts, also a refusal. */
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export type MqttProbe =
  | { readonly kind: "mqtt"; readonly code: number }
  | { readonly kind: "silent" }
  | { readonly kind: "other" };

const CLIENT_ID = "tributary-doctor";

/** MQTT 3.1.1, clean session, keep-alive 10 s. */
const CONNECT = Buffer.concat([
  Buffer.from([0x10, 12 + CLIENT_ID.length, 0, 4]),
  Buffer.from("MQTT"),
  Buffer.from([4, 2, 0, 10, 0, CLIENT_ID.length]),
  Buffer.from(CLIENT_ID),
]);

/** Rejects if the port is closed. */
export function probeMqtt(url: URL, timeoutMs: number): Promise<MqttProbe> {
  const isTls = url.protocol === "mqtts:";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = Number(url.port) || (isTls ? 8883 : 1883);
  return new Promise((done, fail) => {
    const opened = () => socket.write(CONNECT);
    const socket: Socket = isTls
      ? connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }) }, opened)
      : connect({ host, port }, opened);
    const end = (probe: MqttProbe) => {
      socket.destroy();
      done(probe);
    };
    socket.setTimeout(timeoutMs, () => (socket.connecting ? fail(new Error("no answer")) : end({ kind: "silent" })));
    socket.once("data", (bytes) => end(bytes[0] === 0x20 ? { kind: "mqtt", code: bytes[3] ?? 0 } : { kind: "other" }));
    socket.once("close", () => end({ kind: "silent" }));
    socket.once("error", fail);
  });
}
