/** Lists of generations, page by page. The records themselves live in `records`; the lists keep ids only. */
import { useInfiniteQuery, useQuery } from "@tanstack/vue-query";
import { computed, type Ref } from "vue";

import { listGenerations, type ListFilter } from "@/api/client";

import type { GenerationPage } from "@/api/types";

import { find, isKept, newestFirst, putAll } from "./records";
import { awaitThumbnail } from "./thumbnails";

interface Page {
  ids: string[];
  next: string | null;
  counts: GenerationPage["counts"];
}

/** How many works match, by type; null while that is not known. */
export interface Counts {
  all: number | null;
  video: number | null;
  image: number | null;
}

const TIMELINE_PAGE = 20;
const LIBRARY_PAGE = 24;

async function page(filter: ListFilter, token: string, signal: AbortSignal): Promise<Page> {
  const answer = await listGenerations(
    { ...filter, ...(token ? { page_token: token } : {}) },
    signal,
  );
  putAll(answer.items);
  answer.items.forEach((record) => void awaitThumbnail(record));
  return {
    ids: answer.items.map((record) => record.id),
    next: answer.next_page_token || null,
    counts: answer.counts,
  };
}

/** Everything the person asked for, newest first, with every running one, however old. */
export function useTimeline() {
  const pages = useInfiniteQuery({
    queryKey: ["generations", "timeline"],
    queryFn: ({ pageParam, signal }) => page({ page_size: TIMELINE_PAGE }, pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
  });
  useRunning();
  const items = computed(() => {
    const loaded = pages.data.value?.pages ?? [];
    const oldest = pages.hasNextPage.value ? (loaded.at(-1)?.ids.at(-1) ?? "") : "";
    return newestFirst().filter(
      (record) =>
        record.id >= oldest || record.status === "pending" || record.status === "generating",
    );
  });
  return { ...pages, items };
}

/** Brings every running one into the records, however old it is. */
export function useRunning() {
  return useQuery({
    queryKey: ["generations", "running"],
    queryFn: ({ signal }) => page({ status: "pending,generating", page_size: 100 }, "", signal),
  });
}

/** The kept works, narrowed by type and words. */
export function useLibrary(type: Ref<string>, words: Ref<string>) {
  const pages = useInfiniteQuery({
    queryKey: ["generations", "library", type, words],
    queryFn: ({ pageParam, signal }) =>
      page(libraryFilter(type.value, words.value), pageParam, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    // Links are made anew for each visit.
    staleTime: 0,
    gcTime: 0,
  });
  const items = computed(() =>
    (pages.data.value?.pages ?? [])
      .flatMap((loaded) => loaded.ids)
      .map(find)
      .filter((record) => record !== undefined)
      .filter(isKept),
  );
  const counts = computed<Counts>(
    () => pages.data.value?.pages[0]?.counts ?? { all: null, video: null, image: null },
  );
  return { ...pages, items, counts };
}

function libraryFilter(type: string, words: string): ListFilter {
  return {
    storage_type: "s3,local",
    status: "completed",
    page_size: LIBRARY_PAGE,
    include: "counts",
    ...(type ? { media_type: type } : {}),
    ...(words ? { q: words } : {}),
  };
}
