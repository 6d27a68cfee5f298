/** Reads server-sent events. */

export interface ServerEvent {
  readonly id: string | undefined;
  readonly name: string;
  readonly data: string;
}

/** More than any entry of the stream may have. */
const EVENT_CHARS_MAX = 1024 * 1024;

/** Calls `each` for every event until the other side ends. Comments are left out. */
export async function readServerEvents(
  body: ReadableStream<Uint8Array>,
  each: (event: ServerEvent) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const event = parsed(text.slice(0, end));
      text = text.slice(end + 2);
      if (event !== undefined) each(event);
    }
    if (text.length > EVENT_CHARS_MAX) throw new Error("an event of the stream has no end");
  }
}

function parsed(lines: string): ServerEvent | undefined {
  let id: string | undefined;
  let name = "message";
  let data: string | undefined;
  for (const line of lines.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "id") id = value;
    else if (field === "event") name = value;
    else if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
  }
  return data === undefined ? undefined : { id, name, data };
}
