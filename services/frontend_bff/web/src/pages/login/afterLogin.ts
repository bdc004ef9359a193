/** Where a login leads: only to a path of our own, whatever the address bar says. */
export function afterLogin(next: unknown): string {
  if (typeof next !== "string") return "/";
  const target = new URL(next, window.location.origin);
  const ours =
    target.origin === window.location.origin &&
    next.startsWith("/") &&
    target.pathname !== "/login";
  return ours ? target.pathname + target.search : "/";
}
