import { onScopeDispose, watch, type Ref } from "vue";

/** Calls `more` whenever the element comes near the window while `wanted` holds: the end of an endless list. */
export function useSentinel(
  element: Ref<HTMLElement | null>,
  wanted: () => boolean,
  more: () => void,
): void {
  let near = false;
  const observer = new IntersectionObserver(
    (entries) => {
      near = entries.some((entry) => entry.isIntersecting);
      if (near && wanted()) more();
    },
    { rootMargin: "600px" },
  );
  watch(
    element,
    (now, before) => {
      if (before) observer.unobserve(before);
      if (now) observer.observe(now);
    },
    { immediate: true },
  );
  // A page that leaves the end in view does not move it, so the observer alone would not ask for the next one.
  watch(wanted, (is) => is && near && more(), { flush: "post" });
  onScopeDispose(() => observer.disconnect());
}
