/** Packages that a handler may import without having them: what they are here is bundled in their place. */
import type { Plugin } from "esbuild";

/** `import { DeadLetter } from "sluice"`; everything else there is types, which leave nothing behind. */
const SLUICE = "export const DeadLetter = globalThis.DeadLetter;";

/** What is registered is left where sandbox/api/portable.ts looks for it, once the module has been evaluated. */
const FUNCTIONS_FRAMEWORK = `
const registered = (globalThis[Symbol.for("sluice.functions")] ??= []);
export const cloudEvent = (name, run) => void registered.push({ kind: "cloudEvent", name: String(name), run });
export const http = (name, run) => void registered.push({ kind: "http", name: String(name), run });
export default { cloudEvent, http };
`;

/** By name: the text that is bundled. */
export const SHIMS: Readonly<Record<string, string>> = {
  sluice: SLUICE,
  "@google-cloud/functions-framework": FUNCTIONS_FRAMEWORK,
};

export const ownModules: Plugin = {
  name: "sluice",
  setup(on) {
    on.onResolve({ filter: /^(?:sluice|@google-cloud\/functions-framework)$/ }, ({ path }) => ({
      path,
      namespace: "sluice",
    }));
    on.onLoad({ filter: /.*/, namespace: "sluice" }, ({ path }) => ({ contents: SHIMS[path] ?? "" }));
  },
};
