/** Dark, light, or as the system has it. `public/theme.js` applies the same choice before the first paint. */
import { readonly, ref } from "vue";

export type Theme = "dark" | "light" | "system";
export const THEMES: Theme[] = ["dark", "light", "system"];

const CHOICE = "reelgate.theme";
const light = window.matchMedia("(prefers-color-scheme: light)");

const stored = localStorage.getItem(CHOICE);
const choice = ref<Theme>(THEMES.find((theme) => theme === stored) ?? "dark");

export const theme = readonly(choice);

export function chooseTheme(next: Theme): void {
  localStorage.setItem(CHOICE, next);
  choice.value = next;
  apply();
}

function apply(): void {
  const isLight = choice.value === "light" || (choice.value === "system" && light.matches);
  document.documentElement.dataset.theme = isLight ? "light" : "dark";
}

light.addEventListener("change", apply);
