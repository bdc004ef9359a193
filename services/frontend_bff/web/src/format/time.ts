/** Lengths and ages of time, as words of the catalogue (`time.*`) or digits. */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A message key with its number, to be translated by the caller. */
export interface Phrase {
  key: string;
  n: number;
}

/** `3:42`, or `1:02:10` from an hour on; never negative. `ms` in milliseconds. */
export function clock(ms: number): string {
  const total = Math.max(0, Math.floor(ms / SECOND));
  const pad = (value: number): string => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** How long ago: "just now", minutes, hours, days; null when a date says it better. */
export function age(ms: number): Phrase | null {
  if (ms < 45 * SECOND) return { key: "time.justNow", n: 0 };
  if (ms < HOUR) return { key: "time.minutesAgo", n: Math.max(1, Math.round(ms / MINUTE)) };
  if (ms < DAY) return { key: "time.hoursAgo", n: Math.floor(ms / HOUR) };
  if (ms < 7 * DAY) return { key: "time.daysAgo", n: Math.floor(ms / DAY) };
  return null;
}

/** When something last changed, to the second in the first minute. */
export function updated(ms: number): Phrase {
  const since = Math.max(0, ms);
  if (since < MINUTE) return { key: "time.updatedSeconds", n: Math.floor(since / SECOND) };
  return { key: "time.updatedMinutes", n: Math.floor(since / MINUTE) };
}

/** How long it will probably take; null when the estimate has passed. */
export function left(ms: number): Phrase | null {
  if (ms <= 0) return null;
  if (ms < MINUTE) return { key: "time.underMinuteLeft", n: 0 };
  return { key: "time.minutesLeft", n: Math.round(ms / MINUTE) };
}

/** How long something took. */
export function took(ms: number): { key: string; minutes: number; seconds: number } {
  const total = Math.max(0, Math.round(ms / SECOND));
  const [minutes, seconds] = [Math.floor(total / 60), total % 60];
  return { key: minutes ? "time.tookMinutes" : "time.tookSeconds", minutes, seconds };
}

/** "Today, 14:32", "3 Nov, 09:10" or, in other years, with the year. */
export function moment(iso: string, nowMs: number, locale: string, today: string): string {
  const then = new Date(iso);
  const now = new Date(nowMs);
  const hours = new Intl.DateTimeFormat(locale, {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(then);
  if (then.toDateString() === now.toDateString()) return `${today}, ${hours}`;
  return `${day(iso, nowMs, locale)}, ${hours}`;
}

/** "3 Nov", with the year when it is another one. */
export function day(iso: string, nowMs: number, locale: string): string {
  const then = new Date(iso);
  const year = then.getFullYear() === new Date(nowMs).getFullYear() ? undefined : "numeric";
  return new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", year }).format(then);
}
