/** Which works of the grid are chosen. */
import { computed, ref, type Ref } from "vue";

import type { Generation } from "@/api/types";

export function useSelection(items: Ref<Generation[]>) {
  const ids = ref(new Set<string>());
  const started = ref(false);
  let last = "";

  const active = computed({
    get: () => started.value || ids.value.size > 0,
    set: (value) => {
      started.value = value;
      if (!value) ids.value = new Set();
    },
  });
  /** In the grid's order; what was deleted elsewhere meanwhile is not among them. */
  const records = computed(() => items.value.filter((record) => ids.value.has(record.id)));

  function add(more: Generation[]): void {
    ids.value = new Set([...ids.value, ...more.map((record) => record.id)]);
  }

  /** Turns one on or off; with `range`, everything from the one chosen last. */
  function toggle(record: Generation, range: boolean): void {
    const [from, to] = [last, record.id].map((id) => items.value.findIndex((one) => one.id === id));
    last = record.id;
    if (range && from !== undefined && to !== undefined && from >= 0)
      return add(items.value.slice(Math.min(from, to), Math.max(from, to) + 1));
    const next = new Set(ids.value);
    if (!next.delete(record.id)) next.add(record.id);
    ids.value = next;
  }

  function clear(): void {
    active.value = false;
  }

  return { ids, active, records, add, toggle, clear };
}
