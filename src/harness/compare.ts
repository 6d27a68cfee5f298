/** What was expected beside what came: the places where they differ. */

export interface Difference {
  /** Where in the expectation, as "outputs[0].data.c". */
  readonly path: readonly (string | number)[];
  readonly expected: unknown;
  /** Undefined when there is none. */
  readonly actual: unknown;
  /** Said in place of the two, where they say too little. */
  readonly note?: string;
}

type Path = Difference["path"];

/** Of objects only the members that `expected` has count, unless `exact`. Lists are as long, and in the same order. */
export function compare(expected: unknown, actual: unknown, path: Path, exact = false): Difference[] {
  if (Array.isArray(expected) && Array.isArray(actual)) {
    const found: Difference[] = [];
    for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
      if (i >= actual.length) found.push({ path: [...path, i], expected: expected[i] as unknown, actual: undefined });
      else if (i >= expected.length)
        found.push({ path: [...path, i], expected: undefined, actual: actual[i] as unknown });
      else found.push(...compare(expected[i], actual[i], [...path, i], exact));
    }
    return found;
  }
  if (isRecord(expected) && isRecord(actual)) {
    const names = exact ? [...new Set([...Object.keys(expected), ...Object.keys(actual)])] : Object.keys(expected);
    return names.flatMap((name) => {
      const want = Object.hasOwn(expected, name) ? expected[name] : undefined;
      const have = Object.hasOwn(actual, name) ? actual[name] : undefined;
      return want === undefined && have === undefined ? [] : compare(want, have, [...path, name], exact);
    });
  }
  return isSame(expected, actual) ? [] : [{ path, expected, actual }];
}

function isSame(expected: unknown, actual: unknown): boolean {
  if (actual instanceof Uint8Array) return typeof expected === "string" && expected === base64(actual);
  return Object.is(expected, actual) || (expected === 0 && actual === 0);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

/** Bytes that are no text are compared with, and shown as, Base64. */
function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

const SHOWN_CHARS_MAX = 500;

/** On one line, for people. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text = JSON.stringify(value, (_name, inner: unknown) => (inner instanceof Uint8Array ? base64(inner) : inner));
  return text.length <= SHOWN_CHARS_MAX ? text : `${text.slice(0, SHOWN_CHARS_MAX)}…`;
}
