/**
 * Damage: what was written and cannot be read as it was written. Each range is reported once, its bytes are kept in a
 * file where there are any, and whoever needed it counts what it lost.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Log } from "../log.ts";

export interface DamageReport {
  /** "events", "outbox cloud", "commits", "parked", "dead letters", "state", "claims", "ticks", "repeats", "progress", "mark", "store". */
  readonly where: string;
  /** First and last sequence number, commit or id; -1 when there is no such number. */
  readonly from: number;
  readonly to: number;
  readonly what: string;
}

/** How many reports are kept, and how many damaged rows are copied out. */
const REPORTS_MAX = 1000;
const FILES_MAX = 1000;

export class Damage {
  readonly reports: DamageReport[] = [];
  readonly #seen = new Set<string>();
  readonly #folder: string;
  readonly #log: Log;
  /** Reports ever made, those beyond the limit included. */
  count = 0;
  #files = 0;

  constructor(dataPath: string, log: Log) {
    this.#folder = join(dataPath, "damaged");
    this.#log = log;
  }

  /** True when it had not been reported before. */
  report(report: DamageReport, bytes?: Buffer): boolean {
    const name = `${report.where} ${report.from}-${report.to} ${report.from < 0 ? report.what : ""}`;
    if (this.#seen.has(name)) return false;
    this.count++;
    if (this.reports.length < REPORTS_MAX) {
      this.#seen.add(name);
      this.reports.push(report);
    }
    const kept = bytes === undefined ? undefined : this.#keep(report, bytes);
    this.#log.error({ ...report, kept }, "the journal is damaged");
    return true;
  }

  #keep(report: DamageReport, bytes: Buffer): string | undefined {
    if (this.#files >= FILES_MAX) return undefined;
    const where = report.where.replaceAll(/[^A-Za-z0-9_-]+/g, "-").slice(0, 60);
    const file = join(this.#folder, `${where}-${report.from}-${report.to}-${this.count}.bin`);
    try {
      mkdirSync(this.#folder, { recursive: true });
      writeFileSync(file, bytes);
      this.#files++;
      return file;
    } catch {
      // A full disk must not make damage worse; the report stands without the bytes.
      return undefined;
    }
  }
}
