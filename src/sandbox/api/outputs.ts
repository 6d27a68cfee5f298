/** What a handler sends: its result, ctx.emit, ctx.publish. Checked and counted here, before anything crosses. */
import type { Draft } from "./answer.ts";
import { Refusal } from "./failure.ts";
import { refuseLoss } from "./lossy.ts";
import { TextOf, bare, hasOwn, isArray, isView, jsonStringify, keys } from "./primordials.ts";
import { fromBytes, utf8BytesMax } from "./text.ts";

export interface OutputLimits {
  /** Outputs and publishes of one task. */
  readonly outputsMax: number;
  /** Characters of one task's outputs, as JSON. */
  readonly resultBytesMax: number;
}

/** As the host counts them (json.ts); a parser downstream may be recursive. */
const LEVELS_MAX = 500;
const TOPIC_BYTES_MAX = 65_535;
const TEXT_CHARS_MAX = 1024;
const UPLINKS_MAX = 64;

/** lengthOf met something deeper than LEVELS_MAX: a cycle perhaps, which JSON.stringify explains better. */
let isTooDeep = false;

/**
 * A lower bound of the length of `value` as JSON; stops as soon as it is beyond `limit`. It keeps the JSON of a result
 * that is far too long from being built, which could take more memory than the isolate has.
 */
export function lengthOf(value: unknown, limit: number, level: number = 0): number {
  if (typeof value === "string") return value.length + 2;
  if (typeof value !== "object" || value === null) return 1;
  if (level >= LEVELS_MAX) {
    isTooDeep = true;
    return 2;
  }
  let length = 1; // Brackets, and no comma behind the last.
  if (isArray(value)) {
    if (value.length * 2 > limit) return value.length * 2;
    for (let i = 0; i < value.length && length <= limit; i++)
      length += 1 + lengthOf(value[i], limit - length, level + 1);
    return length;
  }
  if (isView(value)) return value.byteLength * 2;
  for (const name in value) {
    if (length > limit) break;
    length += name.length + 4;
    if (hasOwn(value, name)) length += lengthOf((value as Record<string, unknown>)[name], limit - length, level + 1);
  }
  return length;
}

/** Whether the first way down leads back to where it came from: a cycle looks endlessly long before it looks deep. */
function isCyclic(value: unknown): boolean {
  const above: unknown[] = bare([]);
  try {
    let at = value;
    while (typeof at === "object" && at !== null && above.length < LEVELS_MAX) {
      for (let i = 0; i < above.length; i++) if (above[i] === at) return true;
      above[above.length] = at;
      let next: unknown;
      for (const name in at) {
        const member = (at as Record<string, unknown>)[name];
        if (typeof member === "object" && member !== null) next = member;
      }
      at = next;
    }
  } catch {
    return false; // It cannot be read, and that is said elsewhere.
  }
  return false;
}

/** `value` as JSON, or a Refusal that says why not. `what` begins its message. */
export function jsonOf(value: unknown, what: string, charsMax: number, tooLarge: string): string {
  let text: string | undefined;
  let length: number;
  isTooDeep = false;
  try {
    length = lengthOf(value, charsMax);
    if (length <= charsMax) text = jsonStringify(value);
  } catch (thrown) {
    let why = "it cannot be read";
    try {
      why = TextOf((thrown as Error).message);
    } catch {
      // A thrown value with a hostile message: the code alone must do.
    }
    throw new Refusal("SANDBOX_RESULT_INVALID", `${what} is no JSON: ${why}`);
  }
  if (isTooDeep && text !== undefined) {
    throw new Refusal("SANDBOX_RESULT_INVALID", `${what} is nested deeper than ${LEVELS_MAX} levels`);
  }
  if (length <= charsMax && text === undefined) {
    throw new Refusal("SANDBOX_RESULT_INVALID", `${what} is no JSON: it is a ${typeof value}`);
  }
  if (text === undefined && length > charsMax && isCyclic(value)) {
    throw new Refusal("SANDBOX_RESULT_INVALID", `${what} is no JSON: it contains itself`);
  }
  if (text === undefined || text.length > charsMax) {
    throw new Refusal(tooLarge, `${what} is longer than ${charsMax} bytes as JSON`);
  }
  return text;
}

export interface EmitOptions {
  readonly to?: string | readonly string[];
  readonly type?: string;
  readonly subject?: string;
}

export interface PublishOptions {
  readonly qos?: 0 | 1 | 2;
  readonly retain?: boolean;
}

export function emit(draft: Draft, limits: OutputLimits, data: unknown, options: EmitOptions | undefined): void {
  count(draft, limits);
  const address = options === undefined || options === null ? "" : emitAddress(options);
  write(draft, limits, address, data, "an output", false);
}

export function publish(
  draft: Draft,
  limits: OutputLimits,
  topic: unknown,
  data: unknown,
  options: PublishOptions | undefined,
): void {
  count(draft, limits);
  if (typeof topic !== "string" || topic === "" || utf8BytesMax(topic) > TOPIC_BYTES_MAX) {
    throw new Refusal("SANDBOX_PUBLISH_INVALID", "ctx.publish needs a topic of 1 to 65,535 bytes as UTF-8");
  }
  for (let i = 0; i < topic.length; i++) {
    const letter = topic[i];
    if (letter === "+" || letter === "#" || letter === "\0") {
      throw new Refusal(
        "SANDBOX_PUBLISH_INVALID",
        `ctx.publish: a topic contains no +, # or U+0000, and "${topic}" does`,
      );
    }
  }
  const qos = options?.qos ?? 0;
  if (qos !== 0 && qos !== 1 && qos !== 2)
    throw new Refusal("SANDBOX_PUBLISH_INVALID", "ctx.publish: qos is 0, 1 or 2");
  const to = { topic, qos, retain: options?.retain === true };
  write(draft, limits, `a${plain({ publish: to })}\n`, data, `what is published on ${topic}`, true);
}

/** The result: nothing, a value, or an array of values. */
export function emitResult(draft: Draft, limits: OutputLimits, result: unknown): void {
  if (result === undefined || result === null) return;
  if (!isArray(result)) {
    count(draft, limits);
    write(draft, limits, "", result, "the result", false);
    return;
  }
  for (let i = 0; i < result.length; i++) {
    const each: unknown = result[i];
    if (each === undefined || each === null) continue;
    count(draft, limits);
    write(draft, limits, "", each, "a value of the result", false);
  }
}

function count(draft: Draft, limits: OutputLimits): void {
  draft.outputs++;
  if (draft.outputs > limits.outputsMax) {
    throw new Refusal("SANDBOX_OUTPUTS_TOO_MANY", `more than ${limits.outputsMax} outputs of one event`);
  }
}

function write(draft: Draft, limits: OutputLimits, address: string, data: unknown, what: string, raw: boolean): void {
  const left = limits.resultBytesMax - draft.chars;
  let line: string;
  if (isView(data)) {
    if (data.byteLength > left) tooLarge(what, limits);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    line = `b${jsonStringify(fromBytes(bytes))}\n`;
  } else {
    const text = jsonOf(data, what, left, "SANDBOX_RESULT_TOO_LARGE");
    refuseLoss(data, text, what, "SANDBOX_RESULT_INVALID");
    line = `${raw && typeof data === "string" ? "x" : "o"}${text}\n`;
  }
  draft.chars += line.length;
  draft.effects += address === "" ? line : address + line;
}

function tooLarge(what: string, limits: OutputLimits): never {
  throw new Refusal(
    "SANDBOX_RESULT_TOO_LARGE",
    `${what} takes the event's outputs beyond ${limits.resultBytesMax} bytes`,
  );
}

function emitAddress(options: EmitOptions): string {
  const { to, type, subject } = options;
  const address: { to?: string[]; type?: string; subject?: string } = bare({});
  if (to !== undefined) {
    const names: readonly unknown[] = isArray(to) ? to : [to];
    const count = names.length; // Read once: it may be a proxy's, and another one the next time.
    if (!(count <= UPLINKS_MAX)) throw new Refusal("SANDBOX_RESULT_INVALID", "ctx.emit: too many uplinks in `to`");
    const list: string[] = bare([]);
    for (let i = 0; i < count; i++) list[i] = shortText(names[i], "to");
    address.to = list;
  }
  if (type !== undefined) address.type = shortText(type, "type");
  if (subject !== undefined) address.subject = shortText(subject, "subject");
  return keys(address).length === 0 ? "" : `a${plain(address)}\n`;
}

function shortText(value: unknown, name: string): string {
  if (typeof value === "string" && value !== "" && value.length <= TEXT_CHARS_MAX) return value;
  throw new Refusal("SANDBOX_RESULT_INVALID", `ctx.emit: \`${name}\` is a text of 1 to ${TEXT_CHARS_MAX} characters`);
}

/** JSON of an object of ours, out of reach of a `toJSON` that the user put on a prototype. */
function plain(value: object): string {
  return jsonStringify(bare(value));
}
