/** The shape of a work's picture, the same from the first percent to the finished film. */
import type { Generation } from "@/api/types";

export interface Frame {
  /** Width divided by height. */
  ratio: number;
  /** Tall works stand narrow, with their foot beside them. */
  tall: boolean;
}

const SHAPES: Record<string, Record<string, number>> = {
  video: { landscape: 16 / 9, portrait: 9 / 16, square: 1 },
  image: { landscape: 3 / 2, portrait: 2 / 3, square: 1 },
};

export function frameOf(
  record: Pick<Generation, "width" | "height" | "orientation" | "media_type">,
): Frame {
  const measured = record.width && record.height ? record.width / record.height : 0;
  const asked =
    SHAPES[record.media_type]?.[record.orientation ?? ""] ??
    (record.media_type === "image" ? 1 : 16 / 9);
  // Panoramas and towers are kept within what a column can show.
  const ratio = Math.min(2.4, Math.max(0.45, measured || asked));
  return { ratio, tall: ratio < 0.85 };
}
