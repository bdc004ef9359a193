/** Short messages in the corner. */
import { reactive, readonly } from "vue";

export interface Toast {
  id: number;
  kind: "done" | "bad" | "bell" | "clock" | "trash" | "info";
  title: string;
  text?: string;
  /** A small picture instead of the icon. */
  thumb?: string | null;
  /** Stays until it is dismissed. */
  sticky?: boolean;
  action?: { label: string; run: () => void };
}

const LIFE = 6_000;
const AT_MOST = 4;

const shown = reactive<Toast[]>([]);
let last = 0;

export const toasts = readonly(shown);

export function showToast(toast: Omit<Toast, "id">): void {
  const id = ++last;
  shown.push({ ...toast, id });
  if (shown.length > AT_MOST) shown.splice(0, shown.length - AT_MOST);
  if (!toast.sticky) setTimeout(() => dismissToast(id), LIFE);
}

export function dismissToast(id: number): void {
  const index = shown.findIndex((toast) => toast.id === id);
  if (index >= 0) shown.splice(index, 1);
}
