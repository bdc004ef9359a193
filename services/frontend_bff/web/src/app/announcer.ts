/** One polite sentence at a time for screen readers. */
import { readonly, ref } from "vue";

const sentence = ref("");

export const announcement = readonly(sentence);

export function announce(text: string): void {
  // The same sentence twice is read twice only when the region was empty in between.
  sentence.value = "";
  setTimeout(() => (sentence.value = text), 50);
}
