/** Whether the sidebar is narrow, and whether the phone's drawer is open. */
import { computed, ref, watch } from "vue";

const CHOICE = "reelgate.sidebar";

const roomy = ref(false);
const narrow = ref(localStorage.getItem(CHOICE) === "narrow");

/** The sidebar laid over the page, where there is no room beside it. */
export const drawerOpen = ref(false);
/** Only icons: by choice, or because the window leaves no room. */
export const collapsed = computed(() => !roomy.value || narrow.value);

const window1024 = window.matchMedia("(min-width: 1024px)");
roomy.value = window1024.matches;
window1024.addEventListener("change", (event) => (roomy.value = event.matches));

export function toggleSidebar(): void {
  if (roomy.value) narrow.value = !narrow.value;
  else drawerOpen.value = !drawerOpen.value;
}

watch(narrow, (value) => localStorage.setItem(CHOICE, value ? "narrow" : "wide"));
