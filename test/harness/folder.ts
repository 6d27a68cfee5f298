/** A folder with handlers and their cases, as a user has one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export class Home {
  readonly root = mkdtempSync(join(tmpdir(), "sluice-harness-"));

  /** Absolute. */
  write(file: string, text: string): string {
    const path = join(this.root, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

export const OVERHEAT = `
export const config = { topic: "plant/{line}/{machine}/temperature", key: "{machine}", to: ["cloud"], params: { limit: 80 } };
export default (event, ctx) => {
  const { c } = event.data;
  ctx.log.debug("saw", c);
  if (c <= ctx.params.limit) return;
  ctx.state.count = (ctx.state.count ?? 0) + 1;
  if (ctx.state.count > 2) ctx.publish("alarm/" + event.params.machine, "on", { retain: true });
  return { machine: event.params.machine, c, count: ctx.state.count, at: new Date().toISOString() };
};
`;
