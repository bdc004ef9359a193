/** The catalogue as people choose from it: a family, then its orientation and duration. */
import type { MediaType, Model } from "@/api/types";

export interface Family {
  id: string;
  name: string;
  type: MediaType;
  /** In the catalogue's order; empty when the family has none. */
  orientations: string[];
  /** Seconds, ascending; empty for pictures. */
  durations: number[];
  entries: Model[];
}

export interface Choice {
  family: string;
  orientation: string | null;
  duration: number | null;
}

/** The families in the catalogue's order. */
export function families(models: Model[]): Family[] {
  const byId = new Map<string, Model[]>();
  for (const model of models) byId.set(model.family, [...(byId.get(model.family) ?? []), model]);
  return [...byId].map(([id, entries]) => ({
    id,
    name: commonName(entries.map((entry) => entry.name)) || id,
    type: entries[0]?.type ?? "video",
    orientations: unique(
      entries.map((entry) => entry.orientation).filter((value) => !!value),
    ) as string[],
    durations: (
      unique(entries.map((entry) => entry.duration_seconds).filter((value) => !!value)) as number[]
    ).sort((a, b) => a - b),
    entries,
  }));
}

/** The entry that fits the choice best: orientation counts more than duration, the first of equals wins. */
export function compose(
  family: Family,
  orientation: string | null,
  duration: number | null,
): Model | undefined {
  const fit = (entry: Model): number =>
    (entry.orientation === orientation ? 2 : 0) + (entry.duration_seconds === duration ? 1 : 0);
  return family.entries.reduce<Model | undefined>(
    (best, entry) => (!best || fit(entry) > fit(best) ? entry : best),
    undefined,
  );
}

/** Which orientations and durations remain possible: a family may not sell every pair. */
export function offered(
  family: Family,
  orientation: string | null,
): { orientations: string[]; durations: number[] } {
  const durations = family.durations.filter((seconds) =>
    family.entries.some(
      (entry) =>
        entry.duration_seconds === seconds && (!orientation || entry.orientation === orientation),
    ),
  );
  return { orientations: family.orientations, durations };
}

/** The choice that stands for a model id. */
export function choiceOf(models: Model[], id: string): Choice | null {
  const model = models.find((entry) => entry.id === id);
  return model
    ? { family: model.family, orientation: model.orientation, duration: model.duration_seconds }
    : null;
}

/** The name people know a model by; the bare id for one that the catalogue no longer has. */
export function modelName(models: Model[], id: string): string {
  const model = models.find((entry) => entry.id === id);
  if (!model) return id;
  return (
    commonName(
      models.filter((entry) => entry.family === model.family).map((entry) => entry.name),
    ) || model.name
  );
}

/** What all names begin with, in whole words: "Sora 2 Pro" of "Sora 2 Pro landscape 10 s" and its siblings. */
function commonName(names: string[]): string {
  const words = names.map((name) => name.split(/\s+/));
  const first = words[0] ?? [];
  const shared = first.findIndex((word, index) => words.some((other) => other[index] !== word));
  return (shared < 0 ? first : first.slice(0, shared))
    .join(" ")
    .replace(/[,;:·(–-]+$/, "")
    .trim();
}

function unique<T>(values: T[]): T[] {
  return [...new Set(values)];
}
