/** A test's steps as rows: those that came, and those that were not reached. */
import type { Trial } from "@/api/types";

export type Mark = "ok" | "warned" | "failed" | "skipped";
export interface Row {
  name: string;
  mark: Mark;
  detail: string;
  cure: string;
  /** Milliseconds; null when it was not reached. */
  ms: number | null;
}

const ORDER = ["connect", "list", "upload", "multipart", "checksum", "link", "cors", "delete"];

export function rowsOf(trial: Trial): Row[] {
  const came = trial.steps.map((step): Row => ({
    name: step.name,
    mark: step.ok ? (step.cure ? "warned" : "ok") : "failed",
    detail: step.detail,
    cure: step.cure ?? "",
    ms: Math.round(step.duration_ms),
  }));
  // That nothing is left behind is only worth a line when it is not so.
  const told = came.filter((row) => row.name !== "clean_up" || row.mark !== "ok");
  const names = new Set(told.map((row) => row.name));
  const skipped = ORDER.filter((name) => !names.has(name)).map((name): Row => ({
    ...{ name, mark: "skipped", detail: "", cure: "", ms: null },
  }));
  return [...told, ...skipped].sort((a, b) => place(a.name) - place(b.name));
}

function place(name: string): number {
  const at = ORDER.indexOf(name);
  return at < 0 ? ORDER.length : at;
}

export function verdictOf(trial: Trial): "works" | "warned" | "failed" {
  if (!trial.ok) return "failed";
  return trial.steps.some((step) => step.cure) ? "warned" : "works";
}
