/** The sentence shown for a refusal, in the reader's language. */
import { i18n } from "@/i18n";

import { asApiError } from "./problem";

/** Our own sentence where the code is known, else the server's, else one about the status. */
export function errorText(thrown: unknown): string {
  const { t, te } = i18n.global;
  const problem = asApiError(thrown);
  if (te(`errors.${problem.code}`)) return t(`errors.${problem.code}`);
  const field = problem.fields[0];
  if (field) return `${field.field}: ${field.message}`;
  if (problem.detail) return problem.detail;
  return problem.status >= 500
    ? t("errors.internal")
    : t("errors.unexpected", { status: problem.status });
}
