/**
 * fetch: has the gateway make a request. Source: https://fetch.spec.whatwg.org/#fetch-method
 *
 * What may be fetched is not decided in here, for here a handler could decide otherwise.
 */
import { expose } from "./expose.ts";
import type { WebHost } from "./host.ts";

export function install(host: WebHost): void {
  const { Request } = globalThis;
  const { ask, beside } = host;

  // A function that is not async: what it throws early must be a rejection all the same, and of one promise only.
  const fetch = (...given: readonly unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (given.length === 0) throw new TypeError("fetch() needs an address");
      const { asked, signal } = (beside.sending as NonNullable<typeof beside.sending>)(
        new Request(...(given as [string])),
      );
      if (signal.aborted) throw signal.reason;
      const over = (): void => signal.removeEventListener("abort", abort);
      const takeBack = ask(asked, {
        answered: (answer) => {
          over();
          const received = beside.received as NonNullable<typeof beside.received>;
          try {
            resolve(received({ ...answer, bytes: answer.bytes as Uint8Array<ArrayBuffer> | undefined }));
          } catch (thrown) {
            // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- as it was thrown
            reject(thrown);
          }
        },
        failed: (error: Error) => {
          over();
          reject(error);
        },
      });
      const abort = (): void => {
        takeBack();
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", abort);
    });
  expose(host, { fetch });
}
