/** Holds the live stream open: reconnects with what was seen last, waits longer after each failure. */
import { sessionFetch } from "@/api/sessionFetch";
import type { Generation } from "@/api/types";

import type { LiveMessage } from "./bus";
import { pause } from "./pause";
import { events, type ServerEvent } from "./sse";

/** The server sends a comment every 15 s; a connection that is silent for longer than two is dead. */
const SILENCE = 40_000;
/** A stream that ends sooner than this counts as a failure, so that a server that refuses is not hammered. */
const SETTLED_AFTER = 5_000;

export interface StreamListener {
  message: (message: LiveMessage) => void;
  /** The stream is open. */
  opened: () => void;
  /** The stream is not to be had, for the n-th time in a row. */
  failed: (times: number) => void;
  /** The last event's id, kept so that any tab can go on from it. */
  seen: (rev: string) => void;
}

/** Milliseconds before the n-th reconnection: 1, 2, 4 … 30 s, each up to a quarter longer so that tabs spread. */
export function backoff(times: number, random = Math.random()): number {
  return Math.min(30_000, 1000 * 2 ** (times - 1)) * (1 + random / 4);
}

/** Runs until `signal` aborts or the session is over. `lastRev` is asked before each connection. */
export async function holdStream(
  listener: StreamListener,
  lastRev: () => string,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const began = Date.now();
    const outcome = await once(listener, lastRev(), signal).catch(() => "failed" as const);
    if (outcome === "signed-out" || signal.aborted) return;
    failures = outcome === "ended" && Date.now() - began > SETTLED_AFTER ? 0 : failures + 1;
    if (failures) {
      listener.failed(failures);
      await pause(backoff(failures), signal);
    }
  }
}

async function once(
  listener: StreamListener,
  rev: string,
  signal: AbortSignal,
): Promise<"ended" | "signed-out"> {
  const silent = new AbortController();
  let watch = setTimeout(() => silent.abort(), SILENCE);
  const heard = (): void => {
    clearTimeout(watch);
    watch = setTimeout(() => silent.abort(), SILENCE);
  };
  try {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (rev) headers["Last-Event-ID"] = rev;
    const request = new Request(new URL("/api/v1/sora/events", window.location.href), {
      headers,
      cache: "no-store",
      signal: AbortSignal.any([signal, silent.signal]),
    });
    const response = await sessionFetch(request);
    if (response.status === 401) return "signed-out";
    if (!response.ok) throw new Error(`the stream answered ${response.status}`);
    listener.opened();
    for await (const event of events(response, heard)) take(event, listener);
    return "ended";
  } finally {
    clearTimeout(watch);
  }
}

function take(event: ServerEvent, listener: StreamListener): void {
  if (event.event === "generation")
    listener.message({ kind: "generation", record: JSON.parse(event.data) as Generation });
  else if (event.event === "deleted")
    listener.message({ kind: "deleted", id: (JSON.parse(event.data) as { id: string }).id });
  else if (event.event === "reset") listener.message({ kind: "reset" });
  if (event.id) listener.seen(event.id);
}
