/** What a failure looks like on its way out: bounded texts and a code, whatever was thrown. */
import {
  Failing,
  TextOf,
  defineProperty,
  exec,
  getPrototypeOf,
  jsonStringify,
  setPrototypeOf,
  substring,
} from "./primordials.ts";

const MESSAGE_CHARS_MAX = 1000;
const STACK_CHARS_MAX = 4000;

export interface GuestFailure {
  readonly code: string;
  readonly message: string;
  readonly stack?: string | undefined;
  readonly final: boolean;
}

const OWN_CODE = /^(?:SANDBOX|HANDLER)_[A-Z_]+$/;
const CODE_CHARS_MAX = 60;

/** What a refusal was made with. Handlers catch refusals, change them, and get hold of their class. */
let refusalCode: (thrown: object) => string | undefined;
let isFinal: (thrown: object) => boolean;

/** A class derived from this puts its private fields on whatever it is given. */
const Given = function (given: object) {
  return given;
} as unknown as new (given: object) => object;

/** The code of an error, and whether trying again is of no use, where no handler can change them. */
class Mark extends Given {
  readonly #code: unknown;
  readonly #final: boolean;

  constructor(error: object, code: unknown, final: boolean) {
    super(error);
    this.#code = code;
    this.#final = final;
  }

  static {
    refusalCode = (thrown) => {
      const code = #code in thrown ? thrown.#code : undefined;
      if (typeof code !== "string" || code.length > CODE_CHARS_MAX) return undefined;
      return exec(OWN_CODE, code) === null ? undefined : code;
    };
    isFinal = (thrown) => #final in thrown && thrown.#final;
  }
}

/** Makes `error` one of ours. The code is one of src/faults.ts. */
export function withCode<Thrown extends object>(error: Thrown, code: string, final = false): Thrown {
  defineProperty(error, "code", { value: code, writable: true, configurable: true, enumerable: true });
  return new Mark(error, code, final) as Thrown;
}

const FRAMES = /\n\s+at /;

/** The error as if it had been thrown where `origin` was made. */
export function thrownAt<Thrown extends Error>(error: Thrown, origin: Error): Thrown {
  try {
    const { stack } = origin;
    if (typeof stack !== "string") return error;
    const frames = exec(FRAMES, stack);
    if (frames === null) return error;
    const value = `${error.name}: ${error.message}${substring(stack, frames.index, stack.length)}`;
    defineProperty(error, "stack", { value, writable: true, configurable: true, enumerable: false });
  } catch {
    // A handler that makes its stacks itself: then this one has none of use.
  }
  return error;
}

/** A limit or rule of the sandbox that the handler broke. The code is one of src/faults.ts. */
export class Refusal extends Failing {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
    // oxlint-disable-next-line no-new -- it leaves its mark
    new Mark(this, code, false);
  }
}

/** Thrown by a handler to say: never mind trying again. The event becomes a dead letter with this reason. */
export class DeadLetter extends Failing {
  constructor(reason?: unknown) {
    super(reason === undefined ? "no reason given" : TextOf(reason));
    this.name = "DeadLetter";
  }
}

/** By prototype and not by `instanceof`, which a class may answer as it likes. */
function isA(thrown: unknown, type: { prototype: object }): boolean {
  if ((typeof thrown !== "object" && typeof thrown !== "function") || thrown === null) return false;
  let at: unknown = thrown;
  for (let depth = 0; depth < 16 && at !== null; depth++) {
    at = getPrototypeOf(at);
    if (at === type.prototype) return true;
  }
  return false;
}

function read(thrown: object, name: "name" | "message" | "stack", charsMax: number): string | undefined {
  try {
    const value = (thrown as Record<string, unknown>)[name];
    return typeof value === "string" ? substring(value, 0, charsMax) : undefined;
  } catch {
    return undefined; // a getter that throws, a revoked proxy
  }
}

function shown(thrown: unknown): string {
  try {
    const text = typeof thrown === "object" ? jsonStringify(thrown) : TextOf(thrown);
    return substring(text ?? "something that has no text", 0, MESSAGE_CHARS_MAX);
  } catch {
    return "something that cannot be shown";
  }
}

/** Never throws, whatever was thrown. `code` is what an ordinary throw counts as. */
export function failureOf(thrown: unknown, code = "HANDLER_THREW"): GuestFailure {
  try {
    if ((typeof thrown !== "object" && typeof thrown !== "function") || thrown === null) {
      return { code, message: `threw ${shown(thrown)}`, final: false };
    }
    const stack = read(thrown, "stack", STACK_CHARS_MAX);
    const message = read(thrown, "message", MESSAGE_CHARS_MAX);
    const refused = refusalCode(thrown);
    if (refused !== undefined) return { code: refused, message: message ?? "refused", stack, final: isFinal(thrown) };
    if (isA(thrown, DeadLetter)) {
      return { code: "HANDLER_DEAD_LETTER", message: message ?? "no reason given", stack, final: true };
    }
    const name = read(thrown, "name", 100);
    if (message === undefined && stack === undefined) return { code, message: `threw ${shown(thrown)}`, final: false };
    return { code, message: `${name ?? "Error"}: ${message ?? ""}`, stack, final: false };
  } catch {
    return { code, message: "threw something that cannot be read", final: false };
  }
}

/** One line of JSON, without prototypes that a patched `toJSON` could reach. */
export function failureLine(failure: GuestFailure): string {
  const { code, message, stack, final } = failure;
  const plain = { code, message, stack, final };
  setPrototypeOf(plain, null);
  return jsonStringify(plain);
}
