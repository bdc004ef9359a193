import { nextTick, ref, type Ref } from "vue";

import { cancel } from "./actions";

/** "Cancel this generation?", asked in place. `host` is where the confirming button appears, to take the focus. */
export function useCancelQuestion(id: () => string, host: Ref<HTMLElement | null>) {
  const asking = ref(false);

  async function ask(): Promise<void> {
    asking.value = true;
    await nextTick();
    host.value?.querySelector<HTMLElement>("[data-testid=confirm]")?.focus();
  }

  async function confirm(): Promise<void> {
    await cancel(id());
    asking.value = false;
  }

  return { asking, ask, confirm };
}
