import { describe, expect, it } from "vitest";

import type { S3Settings, Trial, UploadRecord } from "@/api/types";
import { completedEndpoint, isSame, presetOf, valuesOf, withPreset } from "@/pages/storage/s3Form";
import { rowsOf, verdictOf } from "@/pages/storage/trial";
import { barsOf } from "@/pages/storage/uploads";

const ACCOUNT = "0123456789abcdef0123456789abcdef";
const settings: S3Settings = {
  enabled: true,
  endpoint: "http://minio:9000",
  public_endpoint: "https://files.example",
  region: "eu-1",
  bucket: "works",
  access_key_id: "AK",
  secret_set: true,
  prefix: "media/",
  force_path_style: true,
  cdn_url: "",
  delivery: "redirect",
  etag: "1",
  origin: "operator",
  capabilities: null,
  warnings: [],
};

describe("the form", () => {
  it("begins without a secret, which keeps the one that is saved", () => {
    expect(valuesOf(settings).secret_access_key).toBeNull();
    expect(isSame(valuesOf(settings), { ...valuesOf(settings), secret_access_key: "" })).toBe(true);
    expect(isSame(valuesOf(settings), { ...valuesOf(settings), prefix: "" })).toBe(false);
  });
  it("knows whose service an endpoint is", () => {
    expect(presetOf(`https://${ACCOUNT}.r2.cloudflarestorage.com`)).toBe("r2");
    expect(presetOf("https://s3.eu-central-1.amazonaws.com")).toBe("s3");
    expect(presetOf("https://evil.example/s3.amazonaws.com")).toBe("other");
    expect(presetOf("")).toBe("other");
  });
  it("fills in what a service needs, and brings back what was saved for it", () => {
    const saved = valuesOf(settings);
    const r2 = withPreset(saved, "r2", saved);
    expect(r2).toMatchObject({
      endpoint: "",
      public_endpoint: "",
      region: "auto",
      bucket: "works",
    });
    const s3 = withPreset(r2, "s3", saved);
    expect(s3).toMatchObject({
      endpoint: "https://s3.us-east-1.amazonaws.com",
      region: "us-east-1",
      force_path_style: false,
    });
    expect(withPreset(s3, "other", saved)).toEqual(saved);
  });
  it("makes an endpoint of R2's account id alone", () => {
    expect(completedEndpoint(` ${ACCOUNT} `)).toBe(`https://${ACCOUNT}.r2.cloudflarestorage.com`);
    expect(completedEndpoint(" https://s3.example ")).toBe("https://s3.example");
  });
});

describe("a test's rows", () => {
  const step = (name: string, ok = true, cure: string | null = null): Trial["steps"][number] => ({
    ...{ name, ok, cure, detail: "Seen.", duration_ms: 1.6 },
  });
  it("are the steps that came, then those that were not reached", () => {
    const trial: Trial = { ok: false, steps: [step("connect"), step("list", false, "Mend it.")] };
    const rows = rowsOf(trial);
    expect(verdictOf(trial)).toBe("failed");
    expect(rows.map((row) => row.mark)).toEqual([
      ...["ok", "failed", "skipped", "skipped", "skipped", "skipped", "skipped", "skipped"],
    ]);
    expect(rows[1]).toMatchObject({ cure: "Mend it.", ms: 2 });
    expect(rows.at(-1)).toMatchObject({ name: "delete", ms: null });
  });
  it("tell of the cleaning up only when something is left, and keep steps they do not know", () => {
    const names = (trial: Trial): string[] =>
      rowsOf(trial)
        .filter((row) => row.mark !== "skipped")
        .map((row) => row.name);
    expect(names({ ok: true, steps: [step("connect"), step("clean_up")] })).toEqual(["connect"]);
    expect(names({ ok: false, steps: [step("clean_up", false), step("novel")] })).toEqual([
      ...["clean_up", "novel"],
    ]);
  });
  it("are a warning when something went well but has a cure", () => {
    expect(verdictOf({ ok: true, steps: [step("cors", true, "Set a rule.")] })).toBe("warned");
    expect(verdictOf({ ok: true, steps: [step("cors")] })).toBe("works");
  });
});

describe("the days of the upload log", () => {
  const now = new Date(2026, 10, 22, 12);
  const upload = (daysAgo: number, failure: string | null = null): UploadRecord => ({
    ...{ id: "1", object_id: null, source: "upload", tier: "s3", size_bytes: 1, duration_ms: 1 },
    created_at: new Date(2026, 10, 22 - daysAgo, 11).toISOString(),
    failure,
  });
  it("are two weeks up to today when everything is loaded", () => {
    const bars = barsOf([upload(0), upload(0, "source_failed"), upload(3)], true, now);
    expect(bars).toHaveLength(14);
    expect(bars.at(-1)).toMatchObject({ stored: 1, failed: 1 });
    expect(bars.at(-4)).toMatchObject({ stored: 1, failed: 0 });
    expect(barsOf([upload(40)], true, now).every((bar) => !bar.stored)).toBe(true);
  });
  it("leave out a day that goes on in what is not loaded, but never today", () => {
    expect(barsOf([upload(0), upload(1), upload(2)], false, now)).toHaveLength(2);
    expect(barsOf([upload(0)], false, now)).toMatchObject([{ stored: 1 }]);
    expect(barsOf([], true, now)).toEqual([]);
  });
});
