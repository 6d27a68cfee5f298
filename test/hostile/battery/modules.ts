/** Modules that are hostile while they load, or by what they export. */
import { done, modules, refused } from "./hostile.ts";
import type { Hostile } from "./hostile.ts";

const HANDLER = "export default () => 1;";

export const loads: readonly Hostile[] = [
  ...modules(refused("SANDBOX_TIMEOUT"), {
    "module-loops": `for (;;);\nexport const config = CONFIG; ${HANDLER}`,
    "module-config-loops": `export const config = { ...CONFIG, toJSON() { for (;;); } }; ${HANDLER}`,
  }),
  ...modules(refused("SANDBOX_MEMORY", "SANDBOX_TIMEOUT"), {
    "module-eats": `const kept = []; for (;;) kept.push(Array(100_000).fill(1));\nexport const config = CONFIG; ${HANDLER}`,
  }),
  ...modules(refused("HANDLER_LOAD_THREW"), {
    "module-throws-odd": `throw { get message() { throw 1; } };\nexport const config = CONFIG; ${HANDLER}`,
  }),
  ...modules(refused("HANDLER_EXPORT_MISSING"), { "module-exports-nothing": "export const config = CONFIG;" }),
  ...modules(refused("timeout"), {
    "module-config-without-limits": `export const config = { ...CONFIG, timeout: "0ms", memory: "1024GB" }; ${HANDLER}`,
  }),
  ...modules(refused("node:fs"), {
    "module-imports-node": `import { readFileSync } from 'node:fs';\nexport const config = CONFIG; export default () => readFileSync('/etc/passwd', 'utf8');`,
  }),

  ...modules(done({ clean: true, own: 1 }), {
    "module-config-of-prototypes": `export const config = { ...CONFIG, params: JSON.parse('{"__proto__":{"polluted":1},"own":1}') }; export default (event, ctx) => ({ clean: {}.polluted === undefined, own: ctx.params.own });`,
  }),
  ...modules(done("first"), {
    "module-changes-itself":
      "let calls = 0; module.exports = { config: CONFIG, get default() { return calls++ === 0 ? () => 'first' : () => 'second'; } };",
  }),
  ...modules(done("well"), {
    "module-leaves-work": `(async () => { for (let n = 0; n < 1000; n++) await 1; })();\nexport const config = CONFIG; export default () => 'well';`,
  }),
];
