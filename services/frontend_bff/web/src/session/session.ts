/** Who is logged in. The session itself lives in cookies that scripts can not read. */
import * as api from "@/api/client";
import { asApiError } from "@/api/problem";
import type { PublicSettings, User } from "@/api/types";
import { queryClient } from "@/app/queryClient";

const channel = "BroadcastChannel" in window ? new BroadcastChannel("reelgate.session") : null;
if (channel) channel.onmessage = () => window.location.reload();

/** The logged-in person; null when nobody is. Throws when the server is out of reach. */
export async function currentUser(): Promise<User | null> {
  try {
    return await queryClient.ensureQueryData({ queryKey: ["me"], queryFn: api.me });
  } catch (thrown) {
    if (asApiError(thrown).status === 401) return null;
    throw thrown;
  }
}

export function publicSettings(): Promise<PublicSettings> {
  return queryClient.ensureQueryData({ queryKey: ["settings"], queryFn: api.publicSettings });
}

export async function logIn(email: string, password: string): Promise<void> {
  await api.login(email, password);
  // The server names the person, not the form: what the session really is gets asked for.
  queryClient.clear();
  await currentUser();
}

/** Logs out here and in every other tab; the page is loaded anew, so nothing of the person stays in memory. */
export async function logOut(): Promise<void> {
  await api.logout();
  channel?.postMessage("out");
  window.location.assign("/login");
}

/** The server has refused the session for good. */
export function endSession(): void {
  const here = window.location.pathname + window.location.search;
  if (window.location.pathname === "/login" || queryClient.getQueryData(["me"]) === undefined)
    return;
  window.location.assign(`/login?next=${encodeURIComponent(here)}`);
}
