import type { Generation } from "@/api/types";

/** The kinds of failure that a person can do different things about. */
export type FailureKind = "upstream" | "policy" | "timeout" | "quota" | "other";

const KINDS: Record<string, FailureKind> = {
  upstream_error: "upstream",
  upstream_unavailable: "upstream",
  source_failed: "upstream",
  no_account: "upstream",
  lost: "upstream",
  content_policy: "policy",
  policy: "policy",
  moderation_blocked: "policy",
  timeout: "timeout",
  deadline_exceeded: "timeout",
  quota_exceeded: "quota",
};

export function failureOf(error: Generation["error"]): FailureKind {
  return KINDS[error?.code ?? ""] ?? "other";
}
