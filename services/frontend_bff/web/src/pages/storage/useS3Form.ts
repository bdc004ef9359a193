/** The form of the S3 settings at work: its values, their test, saving them, going back. */
import { useQueryClient } from "@tanstack/vue-query";
import { computed, ref, watch, type Ref } from "vue";
import { useI18n } from "vue-i18n";

import * as api from "@/api/client";
import { errorText } from "@/api/errorText";
import { asApiError } from "@/api/problem";
import type { S3Settings, Trial } from "@/api/types";
import { announce } from "@/app/announcer";
import { showToast } from "@/components/ui/toasts";
import { isSame, valuesOf, type Values } from "./s3Form";

/** What was tried, with what came of it. */
export interface Tested {
  values: Values;
  trial: Trial;
}

export function useS3Form(settings: Ref<S3Settings>) {
  const { t } = useI18n();
  const cache = useQueryClient();
  const saved = computed(() => valuesOf(settings.value));
  const values = ref<Values>({ ...saved.value });
  const busy = ref<"test" | "save" | null>(null);
  const tested = ref<Tested | null>(null);
  const fields = ref<Record<string, string>>({});
  const problem = ref("");
  const stale = ref(false);
  /** The server's sentence about works that would be left behind, and what to do all the same. */
  const leaving = ref<{ text: string; again: () => Promise<void> } | null>(null);

  const changed = computed(() => !isSame(values.value, saved.value));
  const isTested = computed(() => !!tested.value && isSame(tested.value.values, values.value));
  // Somebody else's change must not overwrite what is being typed; a save is refused as stale instead.
  watch(settings, (now, before) => {
    if (isSame(values.value, valuesOf(before))) values.value = valuesOf(now);
  });

  function shown(now: S3Settings, title: string): void {
    cache.setQueryData(["storage-settings"], now);
    values.value = valuesOf(now);
    void cache.invalidateQueries({ queryKey: ["storage-status"] });
    showToast({ kind: "done", title, text: t("storagePage.everywhere") });
  }

  async function attempt(what: "test" | "save", work: () => Promise<void>): Promise<void> {
    if (busy.value) return;
    busy.value = what;
    fields.value = {};
    problem.value = "";
    stale.value = false;
    leaving.value = null;
    try {
      await work();
    } catch (thrown) {
      const error = asApiError(thrown);
      fields.value = Object.fromEntries(error.fields.map((one) => [one.field, one.message]));
      stale.value = error.code === "stale_etag";
      problem.value = stale.value ? t("storagePage.stale") : errorText(thrown);
      throw error;
    } finally {
      busy.value = null;
    }
  }

  async function test(): Promise<void> {
    const values_ = { ...values.value };
    await attempt("test", async () => {
      tested.value = { values: values_, trial: await api.testS3Settings(values_) };
    }).catch(() => {});
  }

  /** Does a change; asks before works are left behind. */
  function change(work: (leave: boolean) => Promise<S3Settings>, title: string): Promise<void> {
    const once = (leave: boolean): Promise<void> =>
      attempt("save", async () => shown(await work(leave), title)).catch((thrown: unknown) => {
        const error = asApiError(thrown);
        if (error.code !== "objects_left_behind") return;
        problem.value = "";
        leaving.value = { text: error.detail, again: () => once(true) };
      });
    return once(false);
  }

  const save = (): Promise<void> => {
    const etag = settings.value.etag;
    const sent = { ...values.value, etag };
    return change(
      (leave) => api.updateS3Settings({ ...sent, leave_objects_behind: leave }),
      t("storagePage.saved"),
    );
  };
  const reset = (): Promise<void> => {
    const etag = settings.value.etag;
    return change((leave) => api.resetS3Settings(etag, leave), t("storagePage.resetDone"));
  };
  async function reload(): Promise<void> {
    values.value = { ...saved.value };
    stale.value = false;
    problem.value = "";
    await cache.invalidateQueries({ queryKey: ["storage-settings"] });
  }

  watch(tested, (now) => {
    if (now) announce(now.trial.ok ? t("storagePage.trial.works") : t("errors.title"));
  });
  return {
    ...{ values, saved, busy, tested, fields, problem, stale, leaving, changed, isTested },
    ...{ test, save, reset, reload },
  };
}
