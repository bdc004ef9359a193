/** Renews the session's cookies, once for all tabs that find it expired at the same time. */
import { locks } from "@/app/locks";

const LOCK = "reelgate.refresh";
const DONE_AT = "reelgate.refreshedAt";

let running: Promise<boolean> | null = null;

/**
 * Renews the session unless another tab did so after `since` (milliseconds of the wall clock, when the request
 * that was refused began). Returns whether the request is worth repeating. Throws when the server is out of reach.
 */
export function refreshSession(since: number): Promise<boolean> {
  running ??= exclusively(() => refreshUnlessDone(since)).finally(() => (running = null));
  return running;
}

async function refreshUnlessDone(since: number): Promise<boolean> {
  if (lastRefresh() > since) return true;
  const response = await fetch("/api/v1/auth/refresh", {
    method: "POST",
    credentials: "same-origin",
  });
  if (response.ok) localStorage.setItem(DONE_AT, String(Date.now()));
  else if (response.status >= 500) throw new TypeError("the session could not be renewed");
  return response.ok;
}

function lastRefresh(): number {
  return Number(localStorage.getItem(DONE_AT)) || 0;
}

function exclusively<T>(work: () => Promise<T>): Promise<T> {
  return locks ? locks.request(LOCK, work) : work();
}
