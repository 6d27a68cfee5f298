/** What a Request and a Response have in them, whole: there are no streams. Source: https://fetch.spec.whatwg.org/#body-mixin */
import { bytesOf } from "./bytes.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";
import { textOf } from "./text-of.ts";

export interface Content {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** What goes into content-type when nobody said anything else. */
  readonly type: string | undefined;
}

/** Undefined when there is none. Buffers are copied, so that later changes of them change nothing here. */
export function contentOf(given: unknown): Content | undefined {
  if (given === undefined || given === null) return undefined;
  const bytes = bytesOf(given);
  if (bytes !== undefined) return { bytes: bytes.slice(), type: undefined };
  const { URLSearchParams } = globalThis;
  const isForm = typeof URLSearchParams === "function" && given instanceof URLSearchParams;
  const type = isForm ? "application/x-www-form-urlencoded;charset=UTF-8" : "text/plain;charset=UTF-8";
  return { bytes: encodeUtf8(textOf(given)), type };
}

type Bytes = Uint8Array<ArrayBuffer>;

/** The content, which is used up by it; undefined when there is none. Throws when it has been used up before. */
export let takeContent: (body: Body) => Bytes | undefined;
/** A copy of the content. Throws when it has been used up. */
export let copyContent: (body: Body) => Bytes | undefined;

export class Body {
  #bytes: Bytes | undefined;
  #used = false;

  static {
    takeContent = (body) => {
      body.#throwIfUsed();
      body.#used = body.#bytes !== undefined;
      const bytes = body.#bytes;
      body.#bytes = undefined;
      return bytes;
    };
    copyContent = (body) => {
      body.#throwIfUsed();
      return body.#bytes?.slice();
    };
  }

  constructor(bytes: Bytes | undefined) {
    this.#bytes = bytes;
  }

  /** Always null: what is in there is read whole, there is no stream of it. */
  get body(): null {
    return null;
  }

  get bodyUsed(): boolean {
    return this.#used;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#take().buffer;
  }

  async bytes(): Promise<Bytes> {
    return this.#take();
  }

  async text(): Promise<string> {
    return decodeUtf8(this.#take());
  }

  async json(): Promise<unknown> {
    return JSON.parse(decodeUtf8(this.#take())) as unknown;
  }

  #take(): Bytes {
    return takeContent(this) ?? new Uint8Array(0);
  }

  #throwIfUsed(): void {
    if (this.#used) throw new TypeError("Body is unusable: Body has already been read");
  }
}
