/** What the prompt bar holds; survives a reload and the way to the Library and back. */
import { reactive, watch } from "vue";

import type { Generation, Model } from "@/api/types";

import { choiceOf } from "./models";

const DRAFT = "reelgate.draft";
const CHOICE = "reelgate.choice";

interface Composer {
  prompt: string;
  /** Empty until the catalogue is known. */
  family: string;
  orientation: string | null;
  duration: number | null;
  /** Grows when somebody fills the bar from elsewhere, so that it takes the focus. */
  filled: number;
}

export const composer = reactive<Composer>({
  family: "",
  orientation: "landscape",
  duration: 10,
  ...(JSON.parse(localStorage.getItem(CHOICE) ?? "{}") as Partial<Composer>),
  prompt: sessionStorage.getItem(DRAFT) ?? "",
  filled: 0,
});

watch(
  () => composer.prompt,
  (prompt) => sessionStorage.setItem(DRAFT, prompt),
);
watch(
  () => ({
    family: composer.family,
    orientation: composer.orientation,
    duration: composer.duration,
  }),
  (choice) => localStorage.setItem(CHOICE, JSON.stringify(choice)),
);

/**
 * Empties the bar at once, so that the next prompt can be written while this one is on its way. A refused
 * one comes back, unless something else has been written meanwhile. Returns whether it was taken.
 */
export async function handOver(send: (prompt: string) => Promise<boolean>): Promise<boolean> {
  const { prompt } = composer;
  composer.prompt = "";
  const taken = await send(prompt.trim());
  if (!taken && !composer.prompt) composer.prompt = prompt;
  return taken;
}

/** Fills the bar with what a work was made from. */
export function fillFrom(record: Pick<Generation, "prompt" | "model">, models: Model[]): void {
  composer.prompt = record.prompt;
  const choice = choiceOf(models, record.model);
  if (choice) {
    composer.family = choice.family;
    composer.orientation = choice.orientation ?? composer.orientation;
    composer.duration = choice.duration ?? composer.duration;
  }
  composer.filled += 1;
}
