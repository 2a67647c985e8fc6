/** The default port, or another if it is taken. */
import { createServer } from "node:net";
import { freePort } from "@tributary/testing";

export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

export async function portFor(what: string, wanted: number | undefined, log: (line: string) => void): Promise<number> {
  if (wanted === undefined) return freePort();
  if (await isPortFree(wanted)) return wanted;
  const port = await freePort();
  log(`port ${wanted} is busy: ${what} listens on ${port}`);
  return port;
}
