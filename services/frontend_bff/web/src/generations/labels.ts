/** Words for a work's model, orientation and length. */
import { useI18n } from "vue-i18n";

import type { Generation } from "@/api/types";
import { useModels } from "@/session/queries";

import { choiceOf, modelName } from "./models";

export function useModelLabel() {
  const { t, te } = useI18n();
  const { data: models } = useModels();

  function name(record: Generation): string {
    return modelName(models.value ?? [], record.model);
  }

  function orientation(record: Generation): string {
    const key = `orientation.${record.orientation}`;
    return record.orientation && te(key) ? t(key) : "";
  }

  /** Seconds for a video, the number of pictures for several; empty for one picture. */
  function extent(record: Generation): string {
    if (record.media_type === "image") return record.media_urls.length > 1 ? pictures(record) : "";
    const seconds = record.duration_seconds ?? choiceOf(models.value ?? [], record.model)?.duration;
    return seconds ? t("time.seconds", { n: Math.round(seconds) }) : "";
  }

  function pictures(record: Generation): string {
    const n = Math.max(1, record.media_urls.length);
    return t("card.pictures", { n }, n);
  }

  function facts(record: Generation): string[] {
    return [name(record), orientation(record), extent(record)].filter(Boolean);
  }

  return { name, orientation, extent, pictures, facts };
}
