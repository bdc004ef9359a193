import { describe, expect, it } from "vitest";

import type { Model } from "@/api/types";
import { choiceOf, compose, families, modelName, offered } from "@/generations/models";

function model(
  id: string,
  family: string,
  name: string,
  orientation: Model["orientation"],
  seconds: number | null,
): Model {
  return {
    id,
    family,
    name,
    type: seconds ? "video" : "image",
    orientation,
    duration_seconds: seconds,
    parameters: {},
    credits: 10,
    shutdown_date: null,
  };
}

const MODELS = [
  model("sora2-landscape-10s", "sora2", "Sora 2", "landscape", 10),
  model("sora2-landscape-25s", "sora2", "Sora 2", "landscape", 25),
  model("sora2-portrait-10s", "sora2", "Sora 2", "portrait", 10),
  model("gpt-image", "gpt-image", "GPT Image", "square", null),
  model("gpt-image-portrait", "gpt-image", "GPT Image", "portrait", null),
  model("odd-a", "odd", "Odd One, landscape", "landscape", 5),
  model("odd-b", "odd", "Odd One, portrait", "portrait", 5),
];
const [sora, image, odd] = families(MODELS);

describe("families", () => {
  it("keeps the catalogue's order and collects what is offered", () => {
    expect(families(MODELS).map((family) => family.id)).toEqual(["sora2", "gpt-image", "odd"]);
    expect(sora?.orientations).toEqual(["landscape", "portrait"]);
    expect(sora?.durations).toEqual([10, 25]);
    expect(image?.durations).toEqual([]);
  });
  it("names a family by what its entries' names share", () => {
    expect(odd?.name).toBe("Odd One");
    expect(modelName(MODELS, "odd-b")).toBe("Odd One");
  });
  it("shows the bare id of a model that is no longer in the catalogue", () =>
    expect(modelName(MODELS, "gone-1")).toBe("gone-1"));
});

describe("compose", () => {
  it("finds the exact entry", () =>
    expect(sora && compose(sora, "landscape", 25)?.id).toBe("sora2-landscape-25s"));
  it("keeps the orientation when the pair is not sold", () =>
    expect(sora && compose(sora, "portrait", 25)?.id).toBe("sora2-portrait-10s"));
  it("falls back to the first entry", () =>
    expect(image && compose(image, "landscape", 10)?.id).toBe("gpt-image"));
  it("offers only durations that the orientation has", () =>
    expect(sora && offered(sora, "portrait").durations).toEqual([10]));
  it("turns an id back into a choice", () =>
    expect(choiceOf(MODELS, "sora2-portrait-10s")).toEqual({
      family: "sora2",
      orientation: "portrait",
      duration: 10,
    }));
});
