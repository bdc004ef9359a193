import { describe, expect, it } from "vitest";

import { bytes } from "@/format/bytes";
import { age, clock, left, moment, took, updated } from "@/format/time";

const MINUTE = 60_000;

describe("clock", () => {
  it.each([
    [0, "0:00"],
    [-5, "0:00"],
    [98_400, "1:38"],
    [222_000, "3:42"],
    [3_730_000, "1:02:10"],
  ])("shows %i ms as %s", (ms, shown) => expect(clock(ms)).toBe(shown));
});

describe("age", () => {
  it("goes from just now over minutes, hours and days to a date", () => {
    expect(age(44_000)?.key).toBe("time.justNow");
    expect(age(50_000)).toEqual({ key: "time.minutesAgo", n: 1 });
    expect(age(4 * MINUTE)).toEqual({ key: "time.minutesAgo", n: 4 });
    expect(age(119 * MINUTE)).toEqual({ key: "time.hoursAgo", n: 1 });
    expect(age(50 * 60 * MINUTE)).toEqual({ key: "time.daysAgo", n: 2 });
    expect(age(8 * 24 * 60 * MINUTE)).toBeNull();
  });
  it("takes a time in the future for now", () => expect(age(-3_000)?.key).toBe("time.justNow"));
});

describe("phrases about running work", () => {
  it("tells the last change to the second, then to the minute", () => {
    expect(updated(4_900)).toEqual({ key: "time.updatedSeconds", n: 4 });
    expect(updated(130_000)).toEqual({ key: "time.updatedMinutes", n: 2 });
  });
  it("says nothing once the estimate has passed", () => {
    expect(left(8 * MINUTE)).toEqual({ key: "time.minutesLeft", n: 8 });
    expect(left(20_000)?.key).toBe("time.underMinuteLeft");
    expect(left(0)).toBeNull();
  });
  it("splits what it took", () => {
    expect(took(408_000)).toEqual({ key: "time.tookMinutes", minutes: 6, seconds: 48 });
    expect(took(9_000)).toEqual({ key: "time.tookSeconds", minutes: 0, seconds: 9 });
  });
});

describe("moment", () => {
  const now = new Date(2026, 10, 22, 18, 0).getTime();
  it("names today, the day, and the year when it is another", () => {
    expect(moment(new Date(2026, 10, 22, 14, 32).toISOString(), now, "en", "Today")).toBe(
      "Today, 14:32",
    );
    expect(moment(new Date(2026, 10, 3, 9, 10).toISOString(), now, "en-GB", "Today")).toBe(
      "3 Nov, 09:10",
    );
    expect(moment(new Date(2025, 10, 3, 9, 10).toISOString(), now, "en-GB", "Today")).toBe(
      "3 Nov 2025, 09:10",
    );
  });
});

describe("bytes", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [6_120_000, "6.12 MB"],
    [18_400_000, "18.4 MB"],
    [999_900_000, "1 GB"],
    [2_100_000_000, "2.1 GB"],
    [5_000_000_000, "5 GB"],
  ])("shows %i as %s", (count, shown) => expect(bytes(count)).toBe(shown));
});
