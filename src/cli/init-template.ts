/** What `sluice init` writes, and what of it `sluice types` brings up to date. */
import { readFile } from "node:fs/promises";
import { configJsonSchema } from "../config.ts";
import { casesJsonSchema } from "../harness/cases.ts";

/** The types that handlers import as "sluice"; copied, so that an editor finds them without an installation. */
const HANDLER_TYPES = new URL("../sandbox/api/handler.d.ts", import.meta.url);

/** By path in the folder. */
type Files = Readonly<Record<string, string>>;

/** Everything. */
export async function templateFiles(): Promise<Files> {
  return {
    "config/sluice.yaml": CONFIG,
    "handlers/overheat.ts": HANDLER,
    "handlers/overheat.cases.yaml": CASES,
    ...(await editorFiles()),
    "tsconfig.json": TSCONFIG,
    ".vscode/settings.json": SETTINGS,
    ".vscode/extensions.json": EXTENSIONS,
    ".gitignore": "data/\n",
  };
}

/** What follows from the version of Sluice: the types of handlers, and the schemas for editors. */
export async function editorFiles(): Promise<Files> {
  return {
    "types/sluice.d.ts": await readFile(HANDLER_TYPES, "utf8"),
    "config/schema.json": `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
    "config/cases.schema.json": `${JSON.stringify(casesJsonSchema(), null, 2)}\n`,
  };
}

const CONFIG = `# yaml-language-server: $schema=schema.json
# \`sluice check\` tries it; docs/config.md has every setting. Relative paths count from this file.
gateway:
  id: \${SLUICE_ID:edge-1}
  data: ../data                 # everything durable; one gateway at a time

broker:
  listeners:
    - url: mqtt://127.0.0.1:1883

handlers:
  dir: ../handlers
  settings:
    overheat: { params: { limit: 80 } } # retuned here, without touching the code

uplinks:
  cloud:
    kind: file
    path: ../data/cloud.ndjson

control:
  url: http://127.0.0.1:8080
`;

const HANDLER = `import type { Handler, HandlerConfig } from "sluice";

export const config = {
  topic: "plant/{line}/{machine}/temperature", // {name} is one level, and lands in event.params
  key: "{machine}", // order and state for each machine
  to: ["cloud"],
  params: { limit: 80 },
} satisfies HandlerConfig;

export default ((event, ctx) => {
  const { c } = event.data as { c: number };
  if (c <= ctx.params.limit) return; // nothing to say: done
  ctx.state.count = (ctx.state.count ?? 0) + 1; // saved in the same commit as the output
  return { machine: event.params.machine, c, count: ctx.state.count };
}) satisfies Handler;
`;

const CASES = `# yaml-language-server: $schema=../config/cases.schema.json
# \`sluice test\` runs these; docs/testing-handlers.md has all that a case may say.
params: { limit: 80 }
cases:
  - name: says nothing up to the limit
    events:
      - { topic: plant/line-1/press/temperature, data: { c: 80 } }
    expect: { outputs: [], state: { press: null } }

  - name: sends what is too hot, and counts for each machine
    events:
      - { topic: plant/line-1/press/temperature, data: { c: 91 } }
      - { topic: plant/line-1/saw/temperature, data: { c: 85 }, after: 10s }
      - { topic: plant/line-1/press/temperature, data: { c: 92 } }
    expect:
      outputs:
        - { to: cloud, data: { machine: press, c: 91, count: 1 } }
        - { data: { machine: saw, count: 1 } }
        - { data: { machine: press, count: 2 } }
      state: { press: { count: 2 } }
`;

export const TSCONFIG = `{
  "compilerOptions": {
    "target": "es2024",
    "lib": ["es2024", "webworker"], // less of it is there: docs/guest-api.md says what
    "module": "preserve",
    "moduleResolution": "bundler",
    "paths": { "sluice": ["./types/sluice.d.ts"] },
    "types": [],
    "strict": true,
    "noEmit": true
  },
  "include": ["handlers", "types"]
}
`;

const SETTINGS = `{
  "yaml.schemas": {
    "./config/schema.json": "config/sluice.yaml",
    "./config/cases.schema.json": "handlers/**/*.cases.yaml"
  }
}
`;

const EXTENSIONS = `{
  "recommendations": ["redhat.vscode-yaml"]
}
`;
