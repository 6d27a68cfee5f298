/** Reads what a server answers: decoded, counted as it comes, and cut off where it is too long. */
import type { IncomingMessage } from "node:http";
import type { Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

/** May `bytes` more be kept? False ends the reading. */
export type Reserve = (bytes: number) => boolean;

/** Why reading ended early. */
export class ContentRefused extends Error {}

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

const WITHOUT_CONTENT = new Set([101, 103, 204, 205, 304]);

export function hasContent(method: string, status: number): boolean {
  return method !== "HEAD" && !WITHOUT_CONTENT.has(status);
}

/**
 * Resolves with all of it. Rejects with ContentRefused as soon as `reserve` says no, and with what the connection or the
 * decoder says. What counts is what comes out of the decoder, so a small answer that unfolds is cut off like a long one.
 */
export function readContent(answer: IncomingMessage, reserve: Reserve): Promise<Buffer> {
  const coding = (answer.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  const decoder = coding === "identity" || coding === "" ? undefined : DECODERS[coding]?.();
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      answer.destroy();
      decoder?.destroy();
      reject(error);
    };
    if (decoder === undefined && coding !== "identity" && coding !== "") {
      fail(new Error(`its content-encoding "${coding.slice(0, 40)}" is not known`));
      return;
    }
    const source = decoder === undefined ? answer : answer.pipe(decoder);
    source.on("data", (chunk: Buffer) => {
      if (reserve(chunk.length)) chunks.push(chunk);
      else fail(new ContentRefused());
    });
    source.on("end", () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    source.on("error", fail);
    if (decoder !== undefined) answer.on("error", fail);
    // A connection that ends within the answer is not always an error to Node.
    answer.on("close", () => {
      if (!answer.complete) fail(new Error("the connection ended within the answer"));
    });
  });
}
