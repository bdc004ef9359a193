/** Prompts for the first visit. Titles and prompts are in the texts, the pictures were drawn by a program of ours. */
import dunes from "@/assets/dunes.webp";
import ridges from "@/assets/ridges.webp";
import rain from "@/assets/rain.webp";

export interface Example {
  id: string;
  orientation: "landscape" | "portrait";
  picture: string;
  /** Takes the whole row on a phone. */
  wide?: boolean;
}

export const EXAMPLES: Example[] = [
  { id: "ridges", orientation: "landscape", picture: ridges, wide: true },
  { id: "rain", orientation: "portrait", picture: rain },
  { id: "dunes", orientation: "landscape", picture: dunes },
];
