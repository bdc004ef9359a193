/** What can be done with a work. Each action shows its own refusals. */
import { reactive } from "vue";

import * as api from "@/api/client";
import { asApiError } from "@/api/problem";
import type { Generation } from "@/api/types";
import { queryClient } from "@/app/queryClient";
import { showToast } from "@/components/ui/toasts";
import { bytes } from "@/format/bytes";
import { i18n } from "@/i18n";

import { isBeingSaved } from "./phase";
import { drop, find, put } from "./records";
import { showRefusal, submitAgain } from "./submit";

type Action = "cancel" | "retry" | "save" | "delete";

const running = reactive(new Map<string, Action>());
/** Works whose last saving failed, so that the button can offer it again. */
export const notSaved = reactive(new Set<string>());

/** What is being done with this work; undefined when nothing is. */
export function busyWith(id: string): Action | undefined {
  return running.get(id);
}

async function during(id: string, action: Action, work: () => Promise<void>): Promise<boolean> {
  if (running.has(id)) return false;
  running.set(id, action);
  try {
    await work();
    return true;
  } catch (thrown) {
    showRefusal(thrown);
    // The card may show an older state than the one that was refused.
    if (asApiError(thrown).status === 409) await api.getGeneration(id).then(put, () => undefined);
    return false;
  } finally {
    running.delete(id);
  }
}

export function cancel(id: string): Promise<boolean> {
  return during(id, "cancel", async () => void put(await api.cancelGeneration(id)));
}

/** Runs a failed or cancelled one again: as the same work where the server lets it, else as a new one. */
export function runAgain(record: Generation): Promise<boolean> {
  return during(record.id, "retry", async () => {
    if (!record.can_retry) await submitAgain(record);
    else {
      await api.retryGeneration(record.id);
      put(await api.getGeneration(record.id));
    }
  });
}

export async function cancelAndRunAgain(record: Generation): Promise<void> {
  if (await cancel(record.id)) await runAgain(find(record.id) ?? record);
}

export async function save(id: string): Promise<void> {
  notSaved.delete(id);
  const done = await during(id, "save", async () => void put(await saved(id)));
  if (!done) notSaved.add(id);
  else void queryClient.invalidateQueries({ queryKey: ["quota"] });
}

/** The record once it is saved, or while that goes on without us because the answer took too long. */
async function saved(id: string): Promise<Generation> {
  return api.saveGeneration(id).catch(async (thrown: unknown) => {
    const record = await api.getGeneration(id).catch(() => undefined);
    if (record && isBeingSaved(record)) return record;
    if (record) put(record);
    throw thrown;
  });
}

/** Removes works for good, a few at a time; one that is already gone counts as removed. */
export async function remove(records: Generation[]): Promise<void> {
  const waiting = [...records];
  const removed: Generation[] = [];
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const record = next;
        if (await during(record.id, "delete", () => removeOne(record.id))) removed.push(record);
      }
    }),
  );
  if (removed.length) tellRemoved(removed);
  void queryClient.invalidateQueries({ queryKey: ["quota"] });
  void queryClient.invalidateQueries({ queryKey: ["generations", "library"] });
}

async function removeOne(id: string): Promise<void> {
  await api.deleteGeneration(id).catch((thrown: unknown) => {
    if (asApiError(thrown).status !== 404) throw thrown;
  });
  drop(id);
}

function tellRemoved(removed: Generation[]): void {
  const { t } = i18n.global;
  const freed = storedBytes(removed);
  showToast({
    kind: "trash",
    title: t("delete.done", { n: removed.length }, removed.length),
    ...(freed ? { text: t("delete.freed", { size: bytes(freed) }) } : {}),
  });
}

/** The bytes of these works that count against the quota. */
export function storedBytes(records: Generation[]): number {
  return records
    .filter((record) => record.storage_type === "s3" || record.storage_type === "local")
    .reduce((sum, record) => sum + (record.file_size_bytes ?? 0), 0);
}
