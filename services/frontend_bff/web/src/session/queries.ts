/** What the shell and the pages ask the server about the session and the installation. */
import { useQuery } from "@tanstack/vue-query";
import { computed } from "vue";

import * as api from "@/api/client";
import type { StorageStatus } from "@/api/types";

export function useMe() {
  return useQuery({ queryKey: ["me"], queryFn: api.me, staleTime: Infinity });
}

export function useSettings() {
  return useQuery({ queryKey: ["settings"], queryFn: api.publicSettings, staleTime: 60_000 });
}

export function useQuota() {
  const query = useQuery({ queryKey: ["quota"], queryFn: api.quota, refetchOnWindowFocus: true });
  const quota = query.data;
  const unlimited = computed(() => quota.value?.source === "unlimited");
  const share = computed(() => {
    if (!quota.value || unlimited.value) return { used: 0, held: 0 };
    const whole = Math.max(1, quota.value.quota_bytes);
    const used = Math.min(1, quota.value.used_bytes / whole);
    return { used, held: Math.min(1 - used, quota.value.reserved_bytes / whole) };
  });
  const level = computed<"calm" | "tight" | "full">(() => {
    if (!quota.value || unlimited.value) return "calm";
    if (quota.value.available_bytes <= 0) return "full";
    return share.value.used + share.value.held > 0.9 ? "tight" : "calm";
  });
  return { quota, unlimited, share, level };
}

export function useModels() {
  return useQuery({ queryKey: ["models"], queryFn: api.models, staleTime: 5 * 60_000 });
}

export function useStorageStatus() {
  return useQuery({
    queryKey: ["storage-status"],
    queryFn: api.storageStatus,
    staleTime: 30_000,
    refetchOnWindowFocus: true,
    // Works wait at their upstreams for it, and their links do not live long.
    refetchInterval: (query) => (keeps(query.state.data) ? false : 10_000),
  });
}

/** Whether there is a place for results now; true as long as nobody has said. */
export function keeps(status: StorageStatus | undefined): boolean {
  return !status || (status.s3_enabled && status.s3_healthy) || status.local_enabled;
}
