import type { WebHost } from "./host.ts";

type Exposed = ((...values: never[]) => unknown) | (abstract new (...values: never[]) => unknown);

/**
 * Makes each function or class a global of the name it has in `exposed`. The bundles are minified, and what is in there
 * is called `e` or `t`: here it gets its name back, and a class what `Object.prototype.toString` says of its objects.
 */
export function expose(host: WebHost, exposed: Readonly<Record<string, Exposed>>): void {
  for (const [name, value] of Object.entries(exposed)) {
    Object.defineProperty(value, "name", { value: name, configurable: true });
    const prototype = (value as { readonly prototype?: object }).prototype;
    if (prototype !== undefined) {
      Object.defineProperty(prototype, Symbol.toStringTag, { value: name, configurable: true });
    }
    host.global(name, value);
  }
}
