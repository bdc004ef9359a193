import { describe, expect, it } from "vitest";

import { EventParser, events } from "@/live/sse";

describe("EventParser", () => {
  it("reads name, id and data of an event", () => {
    expect(new EventParser().push('event: generation\nid: 812\ndata: {"a":1}\n\n')).toEqual([
      { event: "generation", id: "812", data: '{"a":1}' },
    ]);
  });
  it("joins an event that arrives in pieces, cut anywhere", () => {
    const parser = new EventParser();
    const text = "event: deleted\r\nid: 5\r\ndata: one\r\ndata: two\r\n\r\n";
    const read = [...text].flatMap((letter) => parser.push(letter));
    expect(read).toEqual([{ event: "deleted", id: "5", data: "one\ntwo" }]);
  });
  it("skips comments and fields it does not know", () => {
    expect(new EventParser().push(": still here\n\nretry: 2000\n\nfoo: bar\n\n")).toEqual([]);
  });
  it("reports an id that stands alone", () => {
    expect(new EventParser().push("id: 9\n\n")).toEqual([{ event: "message", id: "9", data: "" }]);
  });
  it("does not carry one event's name to the next", () => {
    const read = new EventParser().push("event: reset\ndata: {}\n\ndata: x\n\n");
    expect(read.map((event) => event.event)).toEqual(["reset", "message"]);
  });
});

describe("events", () => {
  it("yields what a response brings, also letters cut in two", async () => {
    const bytes = new TextEncoder().encode("data: 水\n\n");
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes.slice(0, 7));
        controller.enqueue(bytes.slice(7));
        controller.close();
      },
    });
    const read: string[] = [];
    let heard = 0;
    for await (const event of events(new Response(body), () => (heard += 1))) read.push(event.data);
    expect(read).toEqual(["水"]);
    expect(heard).toBe(2);
  });
});
