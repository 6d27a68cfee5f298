/**
 * Rig: what arrived at the far end, as lines in the order of arrival, whatever the uplink's kind.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Reading } from "./fleet.ts";

/** One output as the cloud sees it: a CloudEvent (DESIGN 5.4). */
export interface CloudLine {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  readonly time: string;
  readonly sluicekey: string;
  readonly sluiceseq: number | string;
  readonly data: Counted;
}

/** What the stories' counting handler makes of a reading. `count` is its state. */
export interface Counted extends Reading {
  readonly count?: number;
  readonly version?: number;
}

export interface Arrivals {
  readonly lines: readonly CloudLine[];
  /** Texts that are no JSON: torn or damaged lines. */
  readonly torn: readonly string[];
}

/** All lines of a `file` uplink: its rotated files, oldest first (`path.2` before `path.1`), then the file itself. */
export function readFileUplink(path: string): Arrivals {
  return parseLines(uplinkFiles(path).flatMap((file) => splitLines(readFileSync(file, "utf8"))));
}

export function uplinkFiles(path: string): string[] {
  const age = (name: string): number => (name === basename(path) ? 0 : Number(name.slice(basename(path).length + 1)));
  return readdirSync(dirname(path))
    .filter((name) => name === basename(path) || (name.startsWith(`${basename(path)}.`) && age(name) > 0))
    .toSorted((a, b) => age(b) - age(a))
    .map((name) => join(dirname(path), name));
}

export function parseLines(texts: readonly string[]): Arrivals {
  const lines: CloudLine[] = [];
  const torn: string[] = [];
  for (const text of texts) {
    try {
      lines.push(JSON.parse(text) as CloudLine);
    } catch {
      torn.push(text);
    }
  }
  return { lines, torn };
}

function splitLines(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
