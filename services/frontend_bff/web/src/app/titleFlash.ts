/** "(1) ✓ done" in the tab's title, in turn with its own, until the tab is looked at. */
import { i18n } from "@/i18n";

let count = 0;
let timer: ReturnType<typeof setInterval> | undefined;
let own = "";

export function flashTitle(): void {
  count += 1;
  if (timer) return;
  own = document.title;
  let on = false;
  const turn = (): void => {
    on = !on;
    document.title = on ? i18n.global.t("live.title", { n: count }) : own;
  };
  turn();
  timer = setInterval(turn, 1000);
  document.addEventListener("visibilitychange", calm);
}

function calm(): void {
  if (document.hidden) return;
  clearInterval(timer);
  timer = undefined;
  count = 0;
  document.title = own;
  document.removeEventListener("visibilitychange", calm);
}
