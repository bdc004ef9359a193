/** One line about a model family, made of what the catalogue says. */
import { useI18n } from "vue-i18n";

import type { Family } from "@/generations/models";

export function useFamilyText() {
  const { t, te, locale } = useI18n();

  /** "Landscape or portrait, up to 25 s". */
  function describe(family: Family): string {
    const names = family.orientations.map((value) =>
      te(`orientation.${value}`) ? t(`orientation.${value}`) : value,
    );
    const list = new Intl.ListFormat(locale.value, { type: "disjunction" }).format(names);
    const longest = family.durations.at(-1);
    const parts = [
      list.charAt(0) + list.slice(1).toLocaleLowerCase(locale.value),
      longest ? t("prompt.upTo", { n: longest }) : "",
    ];
    return parts.filter(Boolean).join(t("prompt.comma"));
  }

  /** The lowest price of the family in credits; null when it is free. */
  function price(family: Family): number | null {
    return Math.min(...family.entries.map((entry) => entry.credits)) || null;
  }

  return { describe, price };
}
