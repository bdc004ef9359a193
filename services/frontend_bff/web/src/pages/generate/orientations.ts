import { RectangleHorizontal, RectangleVertical, Square } from "@lucide/vue";
import type { Component } from "vue";

import type { Segment } from "@/components/ui/SegmentedControl.vue";

export const ORIENTATION_ICONS: Record<string, Component> = {
  landscape: RectangleHorizontal,
  portrait: RectangleVertical,
  square: Square,
};

export function orientationSegments(
  values: string[],
  label: (key: string) => string,
): Segment<string>[] {
  return values.map((value) => ({
    value,
    label: label(`orientation.${value}`),
    icon: ORIENTATION_ICONS[value],
    bare: !!ORIENTATION_ICONS[value],
  }));
}
