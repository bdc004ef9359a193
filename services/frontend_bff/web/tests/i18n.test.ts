import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { browserLocale } from "@/i18n";
import en from "@/i18n/en.json";
import zh from "@/i18n/zh.json";

type Tree = { [key: string]: string | Tree };

function flat(tree: Tree, prefix = ""): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [key, value] of Object.entries(tree)) {
    if (typeof value === "string") texts.set(prefix + key, value);
    else for (const [inner, text] of flat(value, `${prefix}${key}.`)) texts.set(inner, text);
  }
  return texts;
}

const english = flat(en);
const chinese = flat(zh);
const source = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(vue|ts)$/.test(name) && !name.endsWith("schema.d.ts"))
  .map((name) => readFileSync(join("src", name), "utf8"))
  .join("\n");

/** Every quoted text that looks like a key, and the fixed beginnings of keys that are put together. */
const quoted = new Set(
  [...source.matchAll(/["'`]([a-z][A-Za-z]*(?:\.[A-Za-z_]+)+)["'`]/g)].map(
    (match) => match[1] ?? "",
  ),
);
const composed = [...source.matchAll(/`([a-z][A-Za-z]*(?:\.[A-Za-z]+)*\.)\$\{/g)].map(
  (match) => match[1] ?? "",
);

describe("texts", () => {
  it("are the same ones in both languages", () =>
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort()));

  it("are empty in no language", () => {
    for (const [key, text] of [...english, ...chinese]) expect(text.trim(), key).not.toBe("");
  });

  it("have the same placeholders in both languages", () => {
    const names = (text: string): string[] => [...new Set(text.match(/\{\w+\}/g))].sort();
    for (const [key, text] of english)
      expect(names(chinese.get(key) ?? ""), key).toEqual(names(text));
  });

  it("have the same number of plural forms in both languages", () => {
    for (const [key, text] of english)
      expect(chinese.get(key)?.split(" | ").length, key).toBe(text.split(" | ").length);
  });

  it("are all used", () => {
    const unused = [...english.keys()].filter(
      (key) => !quoted.has(key) && !composed.some((start) => key.startsWith(start)),
    );
    expect(unused).toEqual([]);
  });

  it("exist wherever one is asked for", () => {
    const asked = [
      ...source.matchAll(/\bt\(\s*(?:[^"'`()]*\? )?["']([\w.]+)["'](?:\s*:\s*["']([\w.]+)["'])?/g),
    ];
    const keys = asked.flatMap((match) => [match[1], match[2]]).filter((key) => key !== undefined);
    expect(keys.length).toBeGreaterThan(100);
    expect(keys.filter((key) => !english.has(key))).toEqual([]);
    for (const start of composed)
      expect(
        [...english.keys()].some((key) => key.startsWith(start)),
        start,
      ).toBe(true);
  });
});

describe("browserLocale", () => {
  it("takes the first language of the browser that we speak", () => {
    expect(browserLocale(["fr-FR", "zh-TW", "en"])).toBe("zh");
    expect(browserLocale(["en-GB"])).toBe("en");
    expect(browserLocale(["fr"])).toBeNull();
  });
});
