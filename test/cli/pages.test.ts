/** What the pages have as a whole handler works as it stands there: pasted into a folder that `sluice init` wrote. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Home } from "../harness/folder.ts";
import { sluice } from "./sluice.ts";

let home: Home;
beforeEach(async () => {
  home = new Home();
  await sluice(["init"], { cwd: home.root });
});
afterEach(() => home[Symbol.dispose]());

const page = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
const samples = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"))].map(([, code = ""]) => code);

/** In the config that init wrote, in place of its settings for the one handler that it has. */
function configure(settings: string, more = ""): void {
  const config = readFileSync(join(home.root, "config/sluice.yaml"), "utf8");
  const line = "    overheat: { params: { limit: 80 } } # retuned here, without touching the code\n";
  expect(config).toContain(`  settings:\n${line}`);
  home.write("config/sluice.yaml", config.replace(line, line + settings) + more);
}

describe("what the pages show", () => {
  it("as a handler builds, loads, and has the types that it says", async () => {
    const pages = { readme: "README.md", handlers: "docs/handlers.md", triggers: "docs/triggers.md" };
    let count = 0;
    for (const [name, file] of Object.entries(pages)) {
      for (const [index, code] of samples(page(file), "ts").entries()) {
        home.write(`handlers/${name}-${index}.ts`, code);
        count += 1;
      }
    }
    expect(count).toBeGreaterThanOrEqual(8);
    configure("", "\nsecrets: { apiKey: { env: PATH }, shop: { env: PATH } }\n");
    expect((await sluice(["types", "--check"], { cwd: home.root })).out).toBe("✓ the handlers' types\n");
    expect(await sluice(["check"], { cwd: home.root })).toMatchObject({ err: "", code: 0 });
  });

  it("as cases passes", async () => {
    home.write("handlers/overheat.cases.yaml", samples(page("docs/testing-handlers.md"), "yaml")[0] ?? "");
    expect((await sluice(["test"], { cwd: home.root })).out).toMatch(/^1 passed/m);
  });

  it("as a function from elsewhere runs with the settings beside it", async () => {
    const text = page("docs/portability.md");
    for (const code of samples(text, "js")) home.write(/^\/\/ (handlers\/\w+\.m?js)/.exec(code)?.[1] ?? "", code);
    const [yaml = ""] = samples(text, "yaml");
    configure(yaml.replace("handlers:\n  settings:\n", ""));
    const invoke = (name: string) =>
      sluice(["invoke", name, "-t", "plant/line-1/press/temperature", "-m", '{"c": 91}'], { cwd: home.root });
    expect((await invoke("hot")).out).toBe('→ cloud  {"c":91,"function":"hot"}\n');
    expect((await invoke("kelvin")).out).toContain('"subject":"plant/line-1/press/temperature","k":364.15');
  });
});
