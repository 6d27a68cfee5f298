/**
 * DOMExceptions for the files beside this one. Each of them is bundled by itself, so what they throw comes from the
 * global: of an imported class every bundle would have a copy, and `instanceof DOMException` would be false.
 */
export function exception(name: string, message: string): Error {
  return new globalThis.DOMException(message, name);
}
