import { i18n } from "@/i18n";
import { showToast } from "@/components/ui/toasts";

/** Copies a text and says so. */
export async function copyText(text: string): Promise<void> {
  const done = await (navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  ) ?? copyBySelection(text));
  showToast({
    kind: done ? "done" : "bad",
    title: i18n.global.t(done ? "copy.done" : "copy.failed"),
  });
}

/** The old way, for pages served over plain http, where the clipboard is not offered. */
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}
