import { beforeEach, describe, expect, it } from "vitest";

import { drop, find, isKept, newestFirst, ownActive, put, reset } from "@/generations/records";
import { record } from "./records";

const id = (n: number): string => `01930000-0000-7000-8000-00000000${String(n).padStart(4, "0")}`;

describe("records", () => {
  beforeEach(reset);

  it("never go back to an older version, whatever arrives late", () => {
    put(record({ id: id(1), rev: 5, progress_percent: 50 }));
    put(record({ id: id(1), rev: 4, progress_percent: 40 }));
    expect(find(id(1))?.progress_percent).toBe(50);
  });
  it("take the fresher links of an equal version", () => {
    put(record({ id: id(2), rev: 5, media_url: "old" }));
    put(record({ id: id(2), rev: 5, media_url: "new" }));
    expect(find(id(2))?.media_url).toBe("new");
  });
  it("stay deleted when a list from before the deletion arrives", () => {
    put(record({ id: id(3) }));
    drop(id(3));
    put(record({ id: id(3), rev: 9 }));
    expect(find(id(3))).toBeUndefined();
  });
  it("are ordered by their time, newest first", () => {
    for (const n of [5, 7, 6]) put(record({ id: id(n) }));
    expect(newestFirst().map((one) => one.id)).toEqual([id(7), id(6), id(5)]);
  });
  it("count a person's own running ones, not those of an API key", () => {
    put(record({ id: id(8), status: "pending" }));
    put(record({ id: id(9), status: "generating", api_key_id: id(99) }));
    put(record({ id: id(10) }));
    expect(ownActive().map((one) => one.id)).toEqual([id(8)]);
  });
  it("know which works are kept", () => {
    expect(isKept(record({ storage_type: "local" }))).toBe(true);
    expect(isKept(record({ storage_type: "upstream" }))).toBe(false);
  });
});
