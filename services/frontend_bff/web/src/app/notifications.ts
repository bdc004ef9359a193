/** Notifications of the browser, for a reader who has gone to another tab. */
import { i18n } from "@/i18n";
import { showToast } from "@/components/ui/toasts";

import { locks } from "./locks";

const ASKED = "reelgate.askedToNotify";
/** Held, shared, by every tab that is being looked at. */
const VISIBLE = "reelgate.visible";

/** Offers notifications once, at the first generation: a question out of the blue is refused. */
export function offerNotifications(): void {
  if (
    !("Notification" in window) ||
    Notification.permission !== "default" ||
    localStorage.getItem(ASKED)
  )
    return;
  localStorage.setItem(ASKED, "1");
  const { t } = i18n.global;
  showToast({
    kind: "bell",
    title: t("notifications.ask"),
    text: t("notifications.why"),
    sticky: true,
    action: { label: t("notifications.allow"), run: () => void Notification.requestPermission() },
  });
}

/** Tells of something unless a tab of ours is in view. The same `tag` shows once, however many tabs tell it. */
export async function notify(title: string, body: string, tag: string): Promise<void> {
  if (!document.hidden || !("Notification" in window) || Notification.permission !== "granted")
    return;
  if (await inView()) return;
  const note = new Notification(title, { body, tag, icon: "/favicon.svg" });
  note.onclick = () => {
    window.focus();
    note.close();
  };
}

async function inView(): Promise<boolean> {
  const { held = [] } = (await locks?.query()) ?? {};
  return held.some((lock) => lock.name === VISIBLE);
}

/** Lets the other tabs know while this one is being looked at; returns how to stop. */
export function markVisible(): () => void {
  let release: (() => void) | null = null;
  const change = (): void => {
    release?.();
    release = null;
    if (document.hidden) return;
    const held = new Promise<void>((resolve) => (release = resolve));
    void locks?.request(VISIBLE, { mode: "shared" }, () => held);
  };
  change();
  document.addEventListener("visibilitychange", change);
  return () => {
    document.removeEventListener("visibilitychange", change);
    release?.();
  };
}
