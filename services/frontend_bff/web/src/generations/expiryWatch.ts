/** Watches upstream results whose links die: tells at five minutes, and warns before the page is left. */
import { onScopeDispose, watch } from "vue";
import { useI18n } from "vue-i18n";

import { notify } from "@/app/notifications";
import { showToast } from "@/components/ui/toasts";
import { serverNow, useNow } from "@/format/clock";
import type { Generation } from "@/api/types";

import { save } from "./actions";
import { download, isDownloaded } from "./download";
import { isBeingSaved, lifeLeft, phaseOf, WARN_BELOW } from "./phase";
import { newestFirst } from "./records";

const warned = new Set<string>();

export function useExpiryWatch(): void {
  const { t } = useI18n();
  const now = useNow();

  function warn(record: Generation): void {
    warned.add(record.id);
    const minutes = Math.ceil(lifeLeft(record, now.value) / 60_000);
    const title = t("expiry.soon", { n: minutes }, minutes);
    showToast({
      kind: "clock",
      title,
      text: record.prompt,
      sticky: true,
      action: record.can_save
        ? { label: t("card.save"), run: () => void save(record.id) }
        : { label: t("card.download"), run: () => void download(record) },
    });
    void notify(title, record.prompt, `expiry-${record.id}`);
  }

  watch(now, () => {
    for (const record of unsaved(now.value))
      if (lifeLeft(record, now.value) <= WARN_BELOW && !warned.has(record.id)) warn(record);
  });

  function beforeLeaving(event: BeforeUnloadEvent): void {
    if (unsaved(serverNow()).length) event.preventDefault();
  }
  window.addEventListener("beforeunload", beforeLeaving);
  onScopeDispose(() => window.removeEventListener("beforeunload", beforeLeaving));
}

function unsaved(now: number): Generation[] {
  return newestFirst().filter(
    (record) =>
      phaseOf(record, now) === "upstream" && !isBeingSaved(record) && !isDownloaded(record.id),
  );
}
