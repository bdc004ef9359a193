import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createApp, nextTick, reactive, type App } from "vue";

import type { Generation, Media } from "@/api/types";
import PictureGrid from "@/components/media/PictureGrid.vue";
import TilePicture from "@/components/media/TilePicture.vue";
import { find, put, reset } from "@/generations/records";
import { awaitThumbnail, choices } from "@/generations/thumbnails";
import { i18n } from "@/i18n";
import { record } from "./records";

const SMALL = "https://s3.example/a.thumb.webp";

function medium(changes: Partial<Media> = {}): Media {
  return {
    object_id: "o",
    url: "https://s3.example/a.png",
    thumbnail_url: SMALL,
    content_type: "image/png",
    size_bytes: 1,
    width: 1280,
    height: 960,
    duration_seconds: null,
    ...changes,
  };
}

describe("a thumbnail that comes a moment after its work", () => {
  let asked = 0;
  let answer: Generation;

  beforeEach(() => {
    reset();
    asked = 0;
    vi.useFakeTimers();
    vi.stubGlobal("fetch", () => {
      asked += 1;
      return Promise.resolve(Response.json(answer));
    });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
  const now = (): string => new Date().toISOString();

  it("is asked for once when it is there by then", async () => {
    const kept = record({ id: "a", completed_at: now() });
    answer = { ...kept, thumbnail_url: SMALL };
    put(kept);
    void awaitThumbnail(kept);
    void awaitThumbnail(kept);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(find("a")?.thumbnail_url).toBe(SMALL);
    expect(asked).toBe(1);
  });
  it("is given up when it does not come", async () => {
    const kept = record({ id: "b", completed_at: now() });
    answer = kept;
    put(kept);
    void awaitThumbnail(kept);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(2);
  });
  it.each([
    ["is there", { thumbnail_url: SMALL }],
    ["is of a work that is not kept", { storage_type: "upstream" as const }],
    ["is of an old work", { completed_at: "2020-01-01T00:00:00Z" }],
    ["is of a work that has not ended", { completed_at: null }],
  ])("is not asked for when it %s", async (_, changes) => {
    const one = record({ id: "c", completed_at: now(), ...changes });
    put(one);
    void awaitThumbnail(one);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(0);
  });
  it("is not asked for when the work was deleted meanwhile", async () => {
    void awaitThumbnail(record({ id: "d", completed_at: now() }));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toBe(0);
  });
});

describe("a browser's choice", () => {
  it("is between the thumbnail and the picture itself", () => {
    expect(choices("big", medium())).toBe(`${SMALL} 640w, big 1280w`);
    expect(choices("big", medium({ width: 960, height: 1280 }))).toBe(`${SMALL} 480w, big 960w`);
  });
  it("is none where there is no smaller one", () => {
    expect(choices("big", medium({ width: 640, height: 480 }))).toBeUndefined();
    expect(choices("big", medium({ thumbnail_url: null }))).toBeUndefined();
    expect(choices("big", medium({ width: null }))).toBeUndefined();
    expect(choices("big", undefined)).toBeUndefined();
  });
});

describe("pictures of works", () => {
  let app: App;
  let box: HTMLElement;
  const broken = vi.fn();

  function show(part: typeof TilePicture | typeof PictureGrid, props: object): void {
    box = document.createElement("div");
    app = createApp(part, { ...props, onBroken: broken });
    app.use(i18n).mount(box);
  }
  const has = (what: string): boolean => box.querySelector(what) !== null;
  const fail = async (what: string): Promise<void> => {
    box.querySelector(what)?.dispatchEvent(new Event("error"));
    await nextTick();
  };

  beforeEach(() => broken.mockReset());
  afterEach(() => app.unmount());

  it("are thumbnails in a tile: no film is loaded for it", () => {
    show(TilePicture, { record: record({ thumbnail_url: SMALL }) });
    expect(box.querySelector("img")?.src).toBe(SMALL);
    expect(has("video")).toBe(false);
  });
  it("are first frames while there is no thumbnail, or when it can not be loaded", async () => {
    const props = reactive({ record: record({ thumbnail_url: SMALL }) });
    show(TilePicture, props);
    await fail("img");
    expect(has("img")).toBe(false);
    expect(has("video")).toBe(true);
    expect(broken).not.toHaveBeenCalled();
    await fail("video");
    expect(broken).toHaveBeenCalledOnce();
  });
  it("come in the size that is needed, and whole when that one is lost", async () => {
    show(PictureGrid, { links: ["https://s3.example/a.png"], media: [medium()], label: "a" });
    expect(box.querySelector("img")?.srcset).toContain(SMALL);
    await fail("img");
    expect(box.querySelector("img")?.srcset).toBe("");
    expect(broken).not.toHaveBeenCalled();
    await fail("img");
    expect(broken).toHaveBeenCalledOnce();
  });
});
