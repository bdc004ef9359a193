/** The prompt bar's size: its field grows with the text, and the page leaves room for it. */
import { nextTick, onBeforeUnmount, onMounted, watch, type Ref } from "vue";

export function useGrowing(area: Ref<HTMLTextAreaElement | null>, text: () => string): void {
  function fit(): void {
    const element = area.value;
    if (!element) return;
    element.style.height = "auto";
    element.style.height = `${element.scrollHeight}px`;
  }
  watch(text, () => nextTick(fit));
  onMounted(() => {
    fit();
    window.addEventListener("resize", fit);
  });
  onBeforeUnmount(() => window.removeEventListener("resize", fit));
}

export function useBarHeight(box: Ref<HTMLElement | null>, tell: (pixels: number) => void): void {
  const observer = new ResizeObserver(() => box.value && tell(box.value.offsetHeight));
  onMounted(() => box.value && observer.observe(box.value));
  onBeforeUnmount(() => observer.disconnect());
}
