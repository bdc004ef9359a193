/** Brings a work's files to the reader's disk. */
import { reactive } from "vue";

import type { Generation } from "@/api/types";

const TAKEN = "reelgate.downloaded";
const taken = reactive(
  new Set<string>(JSON.parse(sessionStorage.getItem(TAKEN) ?? "[]") as string[]),
);

/** Whether this tab has downloaded the work, so that leaving it loses nothing. */
export function isDownloaded(id: string): boolean {
  return taken.has(id);
}

/** Where the browser gets a medium to save it, not to show it: our media route answers with an attachment. */
export function downloadUrl(objectId: string): string {
  return `/api/v1/sora/media/${objectId}?download=1`;
}

/** Downloads all media of the work, or one of them. */
export async function download(record: Generation, index?: number): Promise<void> {
  const media = index === undefined ? record.media : record.media.slice(index, index + 1);
  for (const [at, medium] of media.entries()) {
    // Browsers drop all but the last of several downloads that begin in the same moment.
    if (at) await new Promise((resolve) => setTimeout(resolve, 400));
    click(downloadUrl(medium.object_id));
  }
  taken.add(record.id);
  sessionStorage.setItem(TAKEN, JSON.stringify([...taken]));
}

export async function downloadAll(records: Generation[]): Promise<void> {
  for (const record of records) {
    await download(record);
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
}

function click(href: string): void {
  const anchor = document.createElement("a");
  anchor.href = href;
  anchor.download = "";
  anchor.rel = "noopener";
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
}
