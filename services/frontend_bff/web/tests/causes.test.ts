import { afterEach, describe, expect, it } from "vitest";

import { failureText, noticeText } from "@/generations/causes";
import { applyLocale } from "@/i18n";

const SERVER = "The server's words.";

afterEach(() => applyLocale("en"));

describe("failureText", () => {
  it.each([
    "upstream_error",
    "content_policy",
    "timeout",
    "lost",
    "quota_exceeded",
    "insufficient_credits",
    "no_account",
    "storage_error",
  ])("says %s in the reader's language", (code) => {
    expect(failureText({ code, message: SERVER })).toMatch(/^[A-Z][^一-鿿]+\.$/);
    applyLocale("zh");
    expect(failureText({ code, message: SERVER })).toMatch(/[一-鿿]+。$/);
  });

  it("shows the server's sentence for a cause it does not know, and never nothing", () => {
    applyLocale("zh");
    expect(failureText({ code: "something_new", message: SERVER })).toBe(SERVER);
    expect(failureText({ code: "something_new", message: "" })).toContain("请重试");
    expect(failureText(null)).toContain("请重试");
  });
});

describe("noticeText", () => {
  it.each(["stored_locally", "not_stored", "quota_exceeded", "retention_expired"])(
    "says %s in the reader's language",
    (code) => {
      expect(noticeText({ code, message: SERVER })).toMatch(/^[A-Z][^一-鿿]+\.$/);
      applyLocale("zh");
      expect(noticeText({ code, message: SERVER })).toMatch(/[一-鿿]+。$/);
    },
  );

  it("shows the server's sentence for a notice it does not know", () =>
    expect(noticeText({ code: "something_new", message: SERVER })).toBe(SERVER));
});
