/** Small pictures of works: made a moment after the work is kept, and enough wherever it is shown small. */
import { getGeneration } from "@/api/client";
import type { Generation, Media } from "@/api/types";
import { serverNow } from "@/format/clock";

import { find, isKept, put } from "./records";

/** The longest side of a thumbnail, in pixels. */
const SIDE = 640;
/** When it is looked for, in milliseconds after the work arrived here; whoever has none then has none for good. */
const LOOKS = [2_500, 7_500];
/** Works that ended longer ago (milliseconds) have theirs, or never will. */
const FRESH = 60_000;

const awaited = new Set<string>();

/** Asks for a work again that has just been kept and has no thumbnail yet. */
export async function awaitThumbnail(record: Generation): Promise<void> {
  const ended = Date.parse(record.completed_at ?? "");
  if (!lacks(record) || !(serverNow() - ended < FRESH) || awaited.has(record.id)) return;
  awaited.add(record.id);
  for (const wait of LOOKS) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const now = find(record.id);
    if (!now || !lacks(now)) break;
    await getGeneration(record.id).then(put, () => undefined);
  }
  awaited.delete(record.id);
}

function lacks(record: Generation): boolean {
  return isKept(record) && !record.thumbnail_url;
}

/** What a browser may choose from for a picture (`srcset`); undefined when there is only the picture itself. */
export function choices(link: string, medium: Media | undefined): string | undefined {
  if (!medium?.thumbnail_url || !medium.width || !medium.height) return undefined;
  const share = SIDE / Math.max(medium.width, medium.height);
  if (share >= 1) return undefined;
  return `${medium.thumbnail_url} ${Math.round(medium.width * share)}w, ${link} ${medium.width}w`;
}
