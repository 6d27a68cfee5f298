/** Routes of the config as lines of the pipeline: names and settings that stay the same across restarts. */
import { createHash } from "node:crypto";
import type { Config } from "../config.ts";

export interface Route {
  /** Stands in CloudEvents' source and id and in topics, so it holds no wildcard. */
  readonly name: string;
  readonly topics: readonly string[];
  readonly key: string | undefined;
  readonly to: readonly string[];
}

const NAME_LENGTH_MAX = 40;
const DIGEST_LENGTH = 6;

/**
 * A route is named by what it forwards, so that changing where to, or the order in the file, does not make it another
 * one and strand what waits.
 */
export function routesOf(config: Config): Route[] {
  const routes = new Map<string, Route>();
  for (const { from, to, key } of config.routes) {
    const topics = typeof from === "string" ? [from] : from;
    const digest = createHash("sha256").update(JSON.stringify(topics)).digest("hex").slice(0, DIGEST_LENGTH);
    const words = (topics[0] ?? "").replace(/[^A-Za-z0-9]+/g, "-").replace(/^-|-$/g, "");
    const name = ["route", words.slice(0, NAME_LENGTH_MAX), digest].filter((part) => part !== "").join("-");
    // Two routes from the same topics are one that goes to both.
    const before = routes.get(name)?.to ?? [];
    routes.set(name, { name, topics, key, to: [...new Set([...before, ...to])] });
  }
  return [...routes.values()];
}
