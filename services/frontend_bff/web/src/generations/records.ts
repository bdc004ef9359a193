/**
 * Every generation this tab knows of, each once, in its newest version.
 *
 * Lists, the live stream and the answers of actions all end here, in whatever order they arrive: the higher `rev` wins,
 * so a slow list never takes a card back to an earlier state.
 */
import { shallowReactive } from "vue";

import type { Generation } from "@/api/types";

const known = shallowReactive(new Map<string, Generation>());
const deleted = new Set<string>();

/** Takes a version in; returns the one known before, or undefined. An equal `rev` counts, because its links are fresher. */
export function put(record: Generation): Generation | undefined {
  const before = known.get(record.id);
  if (!deleted.has(record.id) && (!before || record.rev >= before.rev))
    known.set(record.id, record);
  return before;
}

export function putAll(records: Generation[]): void {
  records.forEach(put);
}

/** Forgets a deleted one for good: a list asked for before the deletion does not bring it back. */
export function drop(id: string): void {
  deleted.add(id);
  known.delete(id);
}

/** Forgets everything, because what follows is complete. */
export function reset(): void {
  known.clear();
}

export function find(id: string): Generation | undefined {
  return known.get(id);
}

/** All of them, newest first: ids are UUIDv7, which sort by time. */
export function newestFirst(): Generation[] {
  return [...known.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
}

export function isActive(record: Generation): boolean {
  return record.status === "pending" || record.status === "generating";
}

/** Those that occupy one of the person's own places; what an API key made has places of its own. */
export function ownActive(): Generation[] {
  return newestFirst().filter((record) => isActive(record) && !record.api_key_id);
}

export function isKept(record: Generation): boolean {
  return (
    record.status === "completed" &&
    (record.storage_type === "s3" || record.storage_type === "local")
  );
}
