import { describe, expect, it } from "vitest";

import { frameOf } from "@/generations/frame";
import { lifeLeft, lifeShare, phaseOf } from "@/generations/phase";
import { record } from "./records";

const at = (time: string): number => Date.parse(`2026-11-22T${time}Z`);

describe("phaseOf", () => {
  it("tells kept works from those that lie upstream, expired and removed", () => {
    const upstream = { storage_type: "upstream" as const, expires_at: "2026-11-22T10:16:00Z" };
    expect(phaseOf(record(), at("10:05:00"))).toBe("kept");
    expect(phaseOf(record(upstream), at("10:15:59"))).toBe("upstream");
    expect(phaseOf(record(upstream), at("10:16:00"))).toBe("expired");
    expect(phaseOf(record({ ...upstream, expired: true }), at("10:05:00"))).toBe("expired");
    expect(phaseOf(record({ ...upstream, stage: "storing" }), at("10:20:00"))).toBe("upstream");
    expect(phaseOf(record({ storage_type: "none" }), at("10:05:00"))).toBe("removed");
  });
  it("calls a running one slow after twenty minutes of its own run", () => {
    const running = record({ status: "generating", started_at: "2026-11-22T10:00:00Z" });
    expect(phaseOf(running, at("10:19:59"))).toBe("generating");
    expect(phaseOf(running, at("10:20:00"))).toBe("slow");
  });
});

describe("countdown", () => {
  const upstream = record({
    storage_type: "upstream",
    completed_at: "2026-11-22T10:00:00Z",
    expires_at: "2026-11-22T10:15:00Z",
  });
  it("runs from completion to the end of the link", () => {
    expect(lifeLeft(upstream, at("10:03:36"))).toBe(684_000);
    expect(lifeShare(upstream, at("10:03:00"))).toBeCloseTo(0.8);
    expect(lifeLeft(upstream, at("11:00:00"))).toBe(0);
    expect(lifeShare(upstream, at("11:00:00"))).toBe(0);
  });
  it("never ends for a link without an end", () =>
    expect(lifeLeft(record(), at("10:00:00"))).toBe(Infinity));
});

describe("frameOf", () => {
  it("has the final shape before the size is known", () => {
    expect(frameOf(record({ width: null, height: null })).ratio).toBeCloseTo(16 / 9);
    expect(frameOf(record({ width: null, height: null, orientation: "portrait" }))).toEqual({
      ratio: 9 / 16,
      tall: true,
    });
    expect(
      frameOf(record({ width: null, height: null, media_type: "image", orientation: null })).ratio,
    ).toBe(1);
  });
  it("keeps odd shapes within what can be shown", () => {
    expect(frameOf(record({ width: 4000, height: 100 })).ratio).toBe(2.4);
    expect(frameOf(record({ width: 100, height: 4000 })).ratio).toBe(0.45);
  });
});
