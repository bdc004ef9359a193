/** The server's time: countdowns must not depend on how well the reader's clock is set. */
import { onScopeDispose, readonly, ref, type Ref } from "vue";

let offset = 0;

/** Learns the difference between both clocks from a `Date` header; one second is noise and ignored. */
export function noteServerTime(date: string | null): void {
  if (!date) return;
  const difference = Date.parse(date) - Date.now();
  if (Number.isFinite(difference)) offset = Math.abs(difference) > 2000 ? difference : 0;
}

/** Milliseconds since 1970 on the server's clock. */
export function serverNow(): number {
  return Date.now() + offset;
}

const now = ref(serverNow());
let users = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** The server's time, once a second, by one timer for the whole page. */
export function useNow(): Readonly<Ref<number>> {
  if (users++ === 0) {
    now.value = serverNow();
    timer = setInterval(() => (now.value = serverNow()), 1000);
  }
  onScopeDispose(() => {
    if (--users === 0) clearInterval(timer);
  });
  return readonly(now);
}
