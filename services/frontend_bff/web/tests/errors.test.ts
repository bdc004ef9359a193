import { afterEach, describe, expect, it } from "vitest";

import { errorText } from "@/api/errorText";
import { ApiError, asApiError, problemFrom } from "@/api/problem";
import { failureOf } from "@/generations/failure";
import { applyLocale } from "@/i18n";
import { afterLogin } from "@/pages/login/afterLogin";

afterEach(() => applyLocale("en"));

describe("problemFrom", () => {
  it("reads a problem document and the headers beside it", () => {
    const response = new Response(null, {
      status: 429,
      headers: { "Retry-After": "5", "X-Request-Id": "r-1" },
    });
    const problem = problemFrom(response, { code: "quota_exceeded", detail: "Full.", errors: [] });
    expect(problem).toMatchObject({
      status: 429,
      code: "quota_exceeded",
      detail: "Full.",
      requestId: "r-1",
      retryAfter: 5,
    });
  });
  it("makes do with an answer that is no problem document", () => {
    expect(problemFrom(new Response(null, { status: 502 }), "<html>")).toMatchObject({
      status: 502,
      code: "http_502",
      detail: "",
    });
  });
  it("takes anything else that is thrown for a missing answer", () =>
    expect(asApiError(new TypeError("x")).code).toBe("network"));
});

describe("errorText", () => {
  it("says known causes in the reader's language", () => {
    const full = new ApiError(429, "concurrency_limit_exceeded", "The server's words.");
    expect(errorText(full)).toBe("All your places are taken. Wait for the current one to finish.");
    applyLocale("zh");
    expect(errorText(full)).toContain("并发名额已满");
  });
  it("shows the server's sentence for a cause it does not know", () =>
    expect(errorText(new ApiError(501, "unimplemented", "Saving comes later."))).toBe(
      "Saving comes later.",
    ));
  it("names a wrong field", () =>
    expect(
      errorText(
        new ApiError(400, "bad", "See errors.", "", [{ field: "prompt", message: "is too long" }]),
      ),
    ).toBe("prompt: is too long"));
  it("never shows nothing", () => {
    expect(errorText(new ApiError(500, "http_500"))).toContain("problem");
    expect(errorText(new ApiError(418, "http_418"))).toContain("418");
    expect(errorText(new TypeError("failed to fetch"))).toContain("did not answer");
  });
});

describe("failureOf", () => {
  it.each([
    ["upstream_error", "upstream"],
    ["content_policy", "policy"],
    ["timeout", "timeout"],
    ["quota_exceeded", "quota"],
    ["something_new", "other"],
  ])("takes %s for %s", (code, kind) => expect(failureOf({ code, message: "" })).toBe(kind));
});

describe("afterLogin", () => {
  it("leads to pages of ours only", () => {
    expect(afterLogin("/sora/library?q=sea")).toBe("/sora/library?q=sea");
    for (const evil of [
      "//evil.example/x",
      "https://evil.example",
      "/\\evil.example",
      "javascript:alert(1)",
      undefined,
      "/login",
    ])
      expect(afterLogin(evil)).toBe("/");
  });
});
