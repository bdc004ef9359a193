/** `fetch` that renews an expired session once and tells the application when the session is over. */
import { noteServerTime } from "@/format/clock";

import { refreshSession } from "./refresh";

type Listener = () => void;

const PUBLIC = [
  "/api/v1/auth/login",
  "/api/v1/auth/register",
  "/api/v1/auth/refresh",
  "/api/v1/auth/logout",
];
let signedOut: Listener = () => undefined;

/** Sets what happens when the server refuses the session for good. */
export function onSignedOut(listener: Listener): void {
  signedOut = listener;
}

export async function sessionFetch(request: Request): Promise<Response> {
  const began = Date.now();
  // A body can be sent once only; the copy is for the second try.
  const again = request.clone();
  const response = await fetch(request);
  noteServerTime(response.headers.get("Date"));
  if (response.status !== 401 || PUBLIC.includes(new URL(request.url).pathname)) return response;
  if (await refreshSession(began)) {
    const second = await fetch(again);
    if (second.status !== 401) return second;
  }
  signedOut();
  return response;
}
