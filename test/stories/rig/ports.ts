/**
 * Rig: ports that stay a gateway's own across its restarts. They lie below the range from which the kernel draws ports
 * for outgoing connections, so that no reconnecting device can sit on a gateway's port while it is down.
 */
import { createServer } from "node:net";

const LOWEST = 16_000;
const HIGHEST = 32_000;
const TRIES_MAX = 100;

export async function freePort(): Promise<number> {
  for (let tried = 0; tried < TRIES_MAX; tried++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port between ${LOWEST} and ${HIGHEST}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
