/** Reads a `text/event-stream` body. */
export interface ServerEvent {
  event: string;
  data: string;
  /** Empty when the event had none. */
  id: string;
}

/** Cuts a stream of text into events; `push` takes any piece of it. */
export class EventParser {
  private rest = "";
  private event = "";
  private id = "";
  private data: string[] = [];

  /** The events that `text` completes. */
  push(text: string): ServerEvent[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    return lines.map((line) => this.line(line)).filter((event) => event !== null);
  }

  private line(line: string): ServerEvent | null {
    if (line === "") return this.dispatch();
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.event = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
    return null;
  }

  /** An id alone counts, too: it says how far the server has come. */
  private dispatch(): ServerEvent | null {
    const said = this.data.length || this.event || this.id;
    const complete = said
      ? { event: this.event || "message", data: this.data.join("\n"), id: this.id }
      : null;
    this.event = "";
    this.id = "";
    this.data = [];
    return complete;
  }
}

/** The events of a response, as they arrive; `heard` is called for every piece, also for comments. */
export async function* events(response: Response, heard: () => void): AsyncGenerator<ServerEvent> {
  if (!response.body) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
