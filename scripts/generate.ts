/** `node scripts/generate.ts`: writes what is generated from the code (pages.ts). */
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { processMetrics } from "../src/control/metrics.ts";
import { casesSchemaFile, configPage, faultsPage, metricsPage, schemaFile } from "./pages.ts";

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));

await writeFile(path("config/schema.json"), schemaFile());
await writeFile(path("config/cases.schema.json"), casesSchemaFile());
await writeFile(path("docs/config.md"), configPage());
await writeFile(path("docs/metrics.md"), metricsPage(await processMetrics()));
await writeFile(path("docs/faults.md"), faultsPage(await readFile(path("docs/faults.md"), "utf8")));
