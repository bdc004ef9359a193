/** Links of a work for a player: they stay the same while it plays and are made anew when one has died. */
import { ref, watch, type Ref } from "vue";

import { getGeneration } from "@/api/client";
import type { Generation } from "@/api/types";
import { put } from "@/generations/records";

/** Asking twice in this time (milliseconds) would not help: the work itself is out of reach. */
const AGAIN_AFTER = 30_000;

export interface FreshLinks {
  links: Ref<string[]>;
  /** The links could not be loaded, even made anew. */
  broken: Ref<boolean>;
  /** To be called when a link failed to load. */
  renew: () => Promise<void>;
}

export function useFreshLinks(record: () => Generation): FreshLinks {
  const links = ref(record().media_urls);
  const broken = ref(false);
  let renewedAt = 0;

  // A list that is read again brings other links for the same file; only another file makes the player start anew.
  watch(
    () => `${record().id}/${record().run}/${record().storage_type}/${record().media_urls.length}`,
    () => {
      links.value = record().media_urls;
      broken.value = false;
    },
  );

  async function renew(): Promise<void> {
    if (Date.now() - renewedAt < AGAIN_AFTER) {
      broken.value = true;
      return;
    }
    renewedAt = Date.now();
    try {
      const fresh = await getGeneration(record().id);
      put(fresh);
      links.value = fresh.media_urls.map((link) => link);
    } catch {
      broken.value = true;
    }
  }

  return { links, broken, renew };
}
