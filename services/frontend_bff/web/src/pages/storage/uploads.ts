/** The upload log, page by page, and its days as bars. */
import { useInfiniteQuery } from "@tanstack/vue-query";
import { computed } from "vue";

import { listUploads } from "@/api/client";
import type { UploadRecord } from "@/api/types";

const PAGE = 100;
const DAYS = 14;

export interface Bar {
  /** Midnight of the day, local time. */
  day: Date;
  stored: number;
  failed: number;
}

export function useUploads() {
  const pages = useInfiniteQuery({
    queryKey: ["storage-uploads"],
    queryFn: ({ pageParam }) => listUploads(pageParam, PAGE),
    initialPageParam: "",
    getNextPageParam: (last) => last.next_page_token,
  });
  const items = computed(() => pages.data.value?.pages.flatMap((page) => page.items) ?? []);
  return { ...pages, items };
}

/** Two weeks up to today; while older lines are not loaded, only the days of which every line is. */
export function barsOf(uploads: UploadRecord[], isAll: boolean, now: Date): Bar[] {
  const oldest = uploads.at(-1);
  if (!oldest) return [];
  const today = midnight(now);
  // The oldest day that is loaded goes on in the lines that are not.
  const partial = isAll ? null : midnight(new Date(oldest.created_at)).getTime();
  const bars = Array.from({ length: DAYS }, (_, index): Bar => {
    const day = new Date(today);
    day.setDate(day.getDate() - (DAYS - 1 - index));
    return { day, stored: 0, failed: 0 };
  }).filter(({ day }) => partial === null || day.getTime() > partial || day >= today);
  const byDay = new Map(bars.map((bar) => [bar.day.getTime(), bar]));
  for (const upload of uploads) {
    const bar = byDay.get(midnight(new Date(upload.created_at)).getTime());
    if (bar) bar[upload.failure ? "failed" : "stored"] += 1;
  }
  return bars;
}

function midnight(moment: Date): Date {
  return new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());
}
