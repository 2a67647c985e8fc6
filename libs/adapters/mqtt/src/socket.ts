/** TCP or TLS to a broker. Not through `mqtt.connect`, which would load every transport mqtt.js knows (8 MB). */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

export function openSocket(url: string): Socket {
  const { protocol, hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  if (protocol !== "mqtts:") return connectTcp({ host, port: Number(port || 1883), noDelay: true });
  const name = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ host, port: Number(port || 8883), ...name });
}
