/** The browser's locks across tabs; null in pages served over plain http, where each tab works for itself. */
export const locks: LockManager | null =
  (navigator.locks as LockManager | null | undefined) ?? null;
