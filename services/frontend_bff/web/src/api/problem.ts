/** A refusal of the server (RFC 9457) or a failure to reach it, as one kind of error. */
export interface FieldProblem {
  field: string;
  message: string;
}

export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    /** Stable name of the cause, for example `quota_exceeded`; `network` when no answer came. */
    readonly code: string,
    /** A sentence by the server; may be empty. */
    readonly detail = "",
    readonly requestId = "",
    readonly fields: FieldProblem[] = [],
    /** Seconds after which another try makes sense; 0 when not said. */
    readonly retryAfter = 0,
  ) {
    super(detail || code);
  }
}

/** The error that an answer outside 2xx stands for; `body` is its parsed JSON, if it had any. */
export function problemFrom(response: Response, body: unknown): ApiError {
  const said = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const text = (key: string): string => (typeof said[key] === "string" ? said[key] : "");
  return new ApiError(
    response.status,
    text("code") || `http_${response.status}`,
    text("detail") || text("title"),
    text("request_id") || (response.headers.get("X-Request-Id") ?? ""),
    Array.isArray(said.errors) ? (said.errors as FieldProblem[]) : [],
    Number(response.headers.get("Retry-After")) || 0,
  );
}

/** Any thrown value as an `ApiError`. */
export function asApiError(thrown: unknown): ApiError {
  return thrown instanceof ApiError ? thrown : new ApiError(0, "network", "");
}
