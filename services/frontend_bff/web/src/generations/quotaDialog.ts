import { ref } from "vue";

/** Whether the dialog that says "your storage is full" is open. */
export const quotaDialogOpen = ref(false);

export function openQuotaDialog(): void {
  quotaDialogOpen.value = true;
}
