/** The Library's state in the address, so that it can be linked to and the back button closes the preview. */
import { computed, ref, watch } from "vue";
import { useRoute, useRouter } from "vue-router";

export function useLibraryRoute() {
  const route = useRoute();
  const router = useRouter();
  const text = (key: string): string =>
    typeof route.query[key] === "string" ? route.query[key] : "";

  function change(values: Record<string, string>, push = false): void {
    const query: Record<string, string> = {};
    for (const [key, value] of Object.entries({ ...route.query, ...values }))
      if (typeof value === "string" && value) query[key] = value;
    void (push ? router.push({ query }) : router.replace({ query }));
  }

  const type = computed({ get: () => text("type"), set: (value) => change({ type: value }) });
  const words = computed({ get: () => text("q"), set: (value) => change({ q: value.trim() }) });

  const picture = ref(0);
  const opened = computed<{ id: string; picture: number } | null>({
    get: () => (text("work") ? { id: text("work"), picture: picture.value } : null),
    set: (value) => {
      picture.value = value?.picture ?? 0;
      if ((value?.id ?? "") !== text("work"))
        change({ work: value?.id ?? "" }, !!value && !text("work"));
    },
  });
  watch(
    () => text("work"),
    (id) => void (id || (picture.value = 0)),
  );

  return { type, words, opened };
}
