import { afterEach, describe, expect, it, vi } from "vitest";

import type { LiveMessage } from "@/live/bus";
import { nextPoll, pollDelay } from "@/live/poll";
import { backoff, holdStream } from "@/live/stream";

const MINUTE = 60_000;

describe("polling schedule", () => {
  it.each([
    [0, 3_000],
    [2 * MINUTE - 1, 3_000],
    [2 * MINUTE, 10_000],
    [10 * MINUTE, 30_000],
    [30 * MINUTE, null],
  ])("at an age of %i ms waits %s", (age, delay) => expect(pollDelay(age)).toBe(delay));

  it("follows the youngest and stops when all are given up", () => {
    expect(nextPoll([11 * MINUTE, MINUTE])).toBe(3_000);
    expect(nextPoll([40 * MINUTE, 11 * MINUTE])).toBe(30_000);
    expect(nextPoll([40 * MINUTE])).toBeNull();
    expect(nextPoll([])).toBeNull();
  });
});

describe("backoff", () => {
  it("doubles up to half a minute and spreads", () => {
    expect([1, 2, 3, 6, 20].map((times) => backoff(times, 0))).toEqual([
      1000, 2000, 4000, 30_000, 30_000,
    ]);
    expect(backoff(1, 1)).toBe(1250);
  });
});

describe("holdStream", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });

  function listener() {
    const heard: LiveMessage[] = [];
    const failed: number[] = [];
    return {
      heard,
      failed,
      message: (message: LiveMessage) => heard.push(message),
      opened: vi.fn(),
    };
  }

  it("goes on from the last event after the connection was cut", async () => {
    vi.useFakeTimers();
    const stop = new AbortController();
    const sent: (string | null)[] = [];
    const answers = ['event: deleted\nid: 7\ndata: {"id":"a","rev":7}\n\n', ""];
    vi.stubGlobal("fetch", (request: Request) => {
      sent.push(request.headers.get("Last-Event-ID"));
      const text = answers.shift();
      if (text === undefined || sent.length === 3) stop.abort();
      return Promise.resolve(new Response(text, { status: 200 }));
    });
    const box = listener();
    let rev = "";
    const running = holdStream(
      {
        message: box.message,
        opened: box.opened,
        failed: (times) => box.failed.push(times),
        seen: (id) => (rev = id),
      },
      () => rev,
      stop.signal,
    );
    await vi.advanceTimersByTimeAsync(10_000);
    await running;
    expect(sent.slice(0, 2)).toEqual([null, "7"]);
    expect(box.heard).toEqual([{ kind: "deleted", id: "a" }]);
    // Both ended at once, which is counted, so that a server that closes again and again is left in peace.
    expect(box.failed).toEqual([1, 2]);
  });

  it("stops when the session is over", async () => {
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("", { status: 401 })));
    const box = listener();
    await holdStream(
      { message: box.message, opened: box.opened, failed: () => undefined, seen: () => undefined },
      () => "",
      new AbortController().signal,
    );
    expect(box.opened).not.toHaveBeenCalled();
  });
});
