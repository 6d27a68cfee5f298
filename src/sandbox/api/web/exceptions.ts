/** DOMException: what the web's own functions throw. Source: https://webidl.spec.whatwg.org/#idl-DOMException */
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";
import { textOf } from "./text-of.ts";

/** Each constant with its number, in order; the name of the exception is made of the constant's words. */
const CODES: readonly (readonly [string, string])[] = [
  ["INDEX_SIZE_ERR", "IndexSizeError"],
  ["DOMSTRING_SIZE_ERR", ""],
  ["HIERARCHY_REQUEST_ERR", "HierarchyRequestError"],
  ["WRONG_DOCUMENT_ERR", "WrongDocumentError"],
  ["INVALID_CHARACTER_ERR", "InvalidCharacterError"],
  ["NO_DATA_ALLOWED_ERR", ""],
  ["NO_MODIFICATION_ALLOWED_ERR", "NoModificationAllowedError"],
  ["NOT_FOUND_ERR", "NotFoundError"],
  ["NOT_SUPPORTED_ERR", "NotSupportedError"],
  ["INUSE_ATTRIBUTE_ERR", "InUseAttributeError"],
  ["INVALID_STATE_ERR", "InvalidStateError"],
  ["SYNTAX_ERR", "SyntaxError"],
  ["INVALID_MODIFICATION_ERR", "InvalidModificationError"],
  ["NAMESPACE_ERR", "NamespaceError"],
  ["INVALID_ACCESS_ERR", "InvalidAccessError"],
  ["VALIDATION_ERR", ""],
  ["TYPE_MISMATCH_ERR", "TypeMismatchError"],
  ["SECURITY_ERR", "SecurityError"],
  ["NETWORK_ERR", "NetworkError"],
  ["ABORT_ERR", "AbortError"],
  ["URL_MISMATCH_ERR", "URLMismatchError"],
  ["QUOTA_EXCEEDED_ERR", "QuotaExceededError"],
  ["TIMEOUT_ERR", "TimeoutError"],
  ["INVALID_NODE_TYPE_ERR", "InvalidNodeTypeError"],
  ["DATA_CLONE_ERR", "DataCloneError"],
];

/** An Error underneath, so that it has a stack and `Error.isError` knows it. */
class DOMException extends Error {
  readonly #name: string;
  readonly #message: string;

  /** As in Node, `name` may be options with a `name` and a `cause`. */
  constructor(message: unknown = "", name: unknown = "Error") {
    super();
    this.#message = textOf(message);
    if (typeof name === "object" && name !== null) {
      const options = name as { readonly name?: unknown; readonly cause?: unknown };
      this.#name = options.name === undefined ? "Error" : textOf(options.name);
      if ("cause" in options) {
        Object.defineProperty(this, "cause", { value: options.cause, writable: true, configurable: true });
      }
    } else {
      this.#name = textOf(name);
    }
  }

  override get name(): string {
    return this.#name;
  }

  override get message(): string {
    return this.#message;
  }

  /** The number that the name had when exceptions were numbers, or 0. */
  get code(): number {
    return this.#name === "" ? 0 : CODES.findIndex(([, name]) => name === this.#name) + 1;
  }
}

export function install(host: WebHost): void {
  for (const [index, [constant]] of CODES.entries()) {
    const property = { value: index + 1, enumerable: true };
    Object.defineProperty(DOMException, constant, property);
    Object.defineProperty(DOMException.prototype, constant, property);
  }
  for (const name of ["name", "message", "code"]) {
    Object.defineProperty(DOMException.prototype, name, { enumerable: true });
  }
  expose(host, { DOMException });
}
