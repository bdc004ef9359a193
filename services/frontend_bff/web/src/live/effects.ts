/** What else happens when a generation changes: counters, announcements, notifications. */
import type { Generation } from "@/api/types";
import { announce } from "@/app/announcer";
import { notify } from "@/app/notifications";
import { queryClient } from "@/app/queryClient";
import { flashTitle } from "@/app/titleFlash";
import { i18n } from "@/i18n";
import { isActive, isKept } from "@/generations/records";
import { awaitThumbnail } from "@/generations/thumbnails";
import { router } from "@/router";
import { showToast } from "@/components/ui/toasts";

/** `before` is the version known until now; undefined when it is new to this tab. */
export function afterChange(record: Generation, before: Generation | undefined): void {
  if (!before) return;
  if (isActive(before) && isActive(record)) sayProgress(record, before);
  if (isActive(before) && !isActive(record)) ended(record);
  if (!isKept(before) && isKept(record)) {
    void awaitThumbnail(record);
    void queryClient.invalidateQueries({ queryKey: ["quota"] });
    void queryClient.invalidateQueries({ queryKey: ["generations", "library"] });
  }
}

export function afterDeletion(): void {
  void queryClient.invalidateQueries({ queryKey: ["quota"] });
  void queryClient.invalidateQueries({ queryKey: ["generations", "library"] });
}

/** Everything is asked for anew, because changes were missed. */
export function afterReset(): void {
  void queryClient.invalidateQueries();
}

/** At most every ten percent, or a screen reader would never be silent. */
function sayProgress(record: Generation, before: Generation): void {
  const tenth = Math.floor(record.progress_percent / 10);
  if (tenth === Math.floor(before.progress_percent / 10)) return;
  announce(i18n.global.t("live.progress", { percent: tenth * 10, prompt: short(record.prompt) }));
}

function ended(record: Generation): void {
  void queryClient.invalidateQueries({ queryKey: ["quota"] });
  if (record.status === "cancelled") return;
  const { t } = i18n.global;
  const done = record.status === "completed";
  const title = t(done ? `live.ready.${record.media_type}` : "live.failed");
  announce(`${title}: ${short(record.prompt)}`);
  void notify(title, short(record.prompt), record.id);
  if (document.hidden && done) flashTitle();
  if (router.currentRoute.value.name === "generate") return;
  showToast({
    kind: done ? "done" : "bad",
    title,
    text: short(record.prompt),
    thumb: done ? record.thumbnail_url : null,
    action: { label: t("live.show"), run: () => void router.push({ name: "generate" }) },
  });
}

function short(prompt: string): string {
  return prompt.length > 60 ? `${prompt.slice(0, 59).trimEnd()}…` : prompt;
}
