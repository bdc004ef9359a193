/** The texts of the product, in the reader's language. */
import { createI18n } from "vue-i18n";

import en from "./en.json";
import zh from "./zh.json";

export const LOCALES = { en: "English", zh: "中文" } as const;
export type Locale = keyof typeof LOCALES;

const CHOICE = "reelgate.locale";

export const i18n = createI18n({
  legacy: false,
  locale: "en",
  fallbackLocale: "en",
  messages: { en, zh },
});

/** The first of the browser's languages that we speak; null when we speak none of them. */
export function browserLocale(languages: readonly string[]): Locale | null {
  for (const language of languages) {
    const base = language.toLowerCase().split("-")[0] ?? "";
    if (base in LOCALES) return base as Locale;
  }
  return null;
}

/** The reader's own choice, else the browser's; null leaves it to the operator's default. */
export function preferredLocale(): Locale | null {
  const chosen = localStorage.getItem(CHOICE);
  return chosen && chosen in LOCALES ? (chosen as Locale) : browserLocale(navigator.languages);
}

export function applyLocale(locale: Locale): void {
  i18n.global.locale.value = locale;
  document.documentElement.lang = locale === "zh" ? "zh-CN" : "en";
}

/** Applies a language and remembers it. */
export function chooseLocale(locale: Locale): void {
  localStorage.setItem(CHOICE, locale);
  applyLocale(locale);
}
