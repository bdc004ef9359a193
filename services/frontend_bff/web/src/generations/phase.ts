/** What a card shows: the status of a record, told apart by where the result lies and how long it takes. */
import type { Generation } from "@/api/types";

export type Phase =
  | "queued"
  | "generating"
  | "slow"
  | "kept"
  | "upstream"
  | "expired"
  | "removed"
  | "failed"
  | "cancelled";

/** After this many milliseconds a running generation takes unusually long. */
export const SLOW_AFTER = 20 * 60_000;
/** An upstream link's last two minutes are shown as urgent. */
export const URGENT_BELOW = 2 * 60_000;
/** With five minutes left the reader is told. */
export const WARN_BELOW = 5 * 60_000;

/** Milliseconds since the work was asked for; `now` on the server's clock. */
export function waited(record: Generation, now: number): number {
  return Math.max(0, now - Date.parse(record.started_at ?? record.created_at));
}

/** Milliseconds until an upstream link dies; 0 when it has, Infinity when it does not. */
export function lifeLeft(record: Generation, now: number): number {
  if (record.expired) return 0;
  return record.expires_at ? Math.max(0, Date.parse(record.expires_at) - now) : Infinity;
}

/** The share (0 to 1) of an upstream link's life that is left. */
export function lifeShare(record: Generation, now: number): number {
  if (!record.expires_at || !record.completed_at) return 1;
  const whole = Date.parse(record.expires_at) - Date.parse(record.completed_at);
  return whole > 0 ? Math.min(1, lifeLeft(record, now) / whole) : 0;
}

/** A result at its upstream is on its way into storage; it ends by itself, whoever looks. */
export function isBeingSaved(record: Generation): boolean {
  return record.status === "completed" && record.stage === "storing";
}

export function phaseOf(record: Generation, now: number): Phase {
  switch (record.status) {
    case "pending":
      return "queued";
    case "generating":
      return waited(record, now) >= SLOW_AFTER ? "slow" : "generating";
    case "completed":
      if (record.storage_type === "none") return "removed";
      if (record.storage_type !== "upstream") return "kept";
      if (isBeingSaved(record)) return "upstream";
      return lifeLeft(record, now) > 0 ? "upstream" : "expired";
    default:
      return record.status;
  }
}
