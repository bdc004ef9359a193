/** The prompt bar's choice of model, orientation and duration, kept to what the catalogue sells. */
import { computed, watch } from "vue";
import { useI18n } from "vue-i18n";

import { composer } from "@/generations/composer";
import { compose, families, offered, type Family } from "@/generations/models";
import { useModels } from "@/session/queries";
import { orientationSegments } from "./orientations";

export function usePromptChoice() {
  const { t, te } = useI18n();
  const { data: models } = useModels();

  const all = computed(() => families(models.value ?? []));
  const family = computed<Family | undefined>(
    () => all.value.find((one) => one.id === composer.family) ?? all.value[0],
  );
  const model = computed(
    () => family.value && compose(family.value, composer.orientation, composer.duration),
  );
  const choices = computed(() =>
    family.value
      ? offered(family.value, model.value?.orientation ?? null)
      : { orientations: [], durations: [] },
  );
  const orientations = computed(() =>
    orientationSegments(choices.value.orientations, (key) =>
      te(key) ? t(key) : (key.split(".").pop() ?? key),
    ),
  );
  const durations = computed(() =>
    choices.value.durations.map((value) => ({ value, label: t("time.seconds", { n: value }) })),
  );

  // What is shown as chosen is what will be sent.
  watch(
    model,
    (now) => {
      if (!now) return;
      composer.family = now.family;
      composer.orientation = now.orientation ?? composer.orientation;
      composer.duration = now.duration_seconds ?? composer.duration;
    },
    { immediate: true },
  );

  return { families: all, family, model, orientations, durations };
}
